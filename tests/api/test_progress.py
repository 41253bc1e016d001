"""Progress bars: shown when asked, quiet otherwise, never in the way of an interruption."""

from __future__ import annotations

import pickle
import sys

import pytest

import mixedfast as mf
from mixedfast import _progress
from mixedfast.crossprod.streaming import map_reduce
from mixedfast.estimation.pls import PLSSystem
from mixedfast.inference.diagnostics import influence
from mixedfast.inference.intervals import bootstrap, profile


class Terminal:
    """A stderr that somebody may be looking at."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch) -> Terminal:
    """Replace stderr from inside the test: pytest puts its own there when a test begins."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    return made


def work(show: _progress.Show) -> None:
    with _progress.bar(3, "leaving out schools", show) as advance:
        for _ in range(3):
            advance(1)


def test_shown_when_asked(capsys):
    pytest.importorskip("tqdm")
    work(True)
    told = capsys.readouterr()
    assert "leaving out schools" in told.err and "3/3" in told.err
    assert told.out == ""


@pytest.mark.parametrize("show", [False, "auto"])
def test_quiet_where_nobody_looks(capsys, show):
    work(show)
    told = capsys.readouterr()
    assert told.err == told.out == ""


def test_auto_is_quiet_for_short_work(monkeypatch):
    screen = terminal(monkeypatch)
    work("auto")
    assert screen.text == ""


def test_auto_shows_long_work_on_a_terminal(monkeypatch):
    pytest.importorskip("tqdm")
    screen = terminal(monkeypatch)
    monkeypatch.setattr(_progress, "_PATIENCE", 0.0)
    work("auto")
    assert "leaving out schools" in screen.text


def test_without_tqdm_says_once_how_to_get_it(monkeypatch, recwarn):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    _progress._warn_without_tqdm.cache_clear()
    work("auto")
    assert not recwarn
    work(True)
    work(True)
    assert [str(w.message) for w in recwarn] == [
        'progress=True shows nothing without tqdm: pip install "mixedfast[progress]"'
    ]


def test_a_warning_points_at_the_line_outside_of_the_package(monkeypatch):
    # the bar is entered from the package and by way of the standard library's context managers
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    _progress._warn_without_tqdm.cache_clear()
    sleep = mf.load_dataset("sleepstudy")
    with pytest.warns(UserWarning, match="shows nothing without tqdm") as seen:
        mf.lmer("Reaction ~ Days + (Days | Subject)", sleep, progress=True)
    assert seen[0].filename == __file__


def test_an_interruption_passes_and_closes_the_bar(capsys):
    with pytest.raises(KeyboardInterrupt), _progress.bar(3, "counting", True) as advance:
        advance(1)
        raise KeyboardInterrupt
    if "tqdm" in sys.modules:
        assert capsys.readouterr().err.endswith("\n")


def test_a_fit_counts_its_evaluations(capsys):
    pytest.importorskip("tqdm")
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"), progress=True)
    told = capsys.readouterr().err
    assert "fitting" in told and " evaluations [" in told and m.converged
    mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def sleep() -> mf.LMMResult:
    return mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))


LONG_WORK = {
    "bootstrap": (lambda m, show: m.bootstrap(8, seed=1, progress=show), "8/8"),
    "profile": (lambda m, show: m.profile(["Days", "sigma"], progress=show), "2/2"),
    "influence": (lambda m, show: m.influence("Subject", progress=show), "18/18"),
    "intervals": (lambda m, show: m.confint("boot", n=8, seed=1, progress=show), "8/8"),
}


@pytest.mark.parametrize("name", LONG_WORK)
def test_long_work_tells_how_far_it_is(sleep, capsys, name):
    pytest.importorskip("tqdm")
    work, end = LONG_WORK[name]
    work(sleep, "auto")  # nobody looks at a captured stderr
    assert capsys.readouterr() == ("", "")
    work(sleep, True)
    assert end in capsys.readouterr().err


@pytest.mark.parametrize("name", LONG_WORK)
def test_long_work_interrupted_leaves_the_result_as_it_was(sleep, monkeypatch, name):
    work, _ = LONG_WORK[name]
    before = pickle.dumps(sleep)

    def impatient(*arguments, **options):
        raise KeyboardInterrupt

    for room in (bootstrap, profile, influence):
        monkeypatch.setattr(room, "bar", impatient)
    with pytest.raises(KeyboardInterrupt):
        work(sleep, False)
    assert pickle.dumps(sleep) == before
    monkeypatch.undo()
    work(sleep, False)


def test_a_fit_can_be_interrupted_and_done_again(monkeypatch):
    sleep = mf.load_dataset("sleepstudy")
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", sleep, engine="block")

    def impatient(self, theta):
        raise KeyboardInterrupt

    monkeypatch.setattr(PLSSystem, "solve", impatient)
    for work in (
        lambda: m.update(REML=False),
        lambda: m.refit(m._design.y),
        lambda: m.update(". ~ . + I(Days ** 2)"),
    ):
        with pytest.raises(KeyboardInterrupt):
            work()
    monkeypatch.undo()
    assert (
        m.update(REML=False).criterion
        == mf.lmer(
            "Reaction ~ Days + (Days | Subject)", sleep, REML=False, engine="block"
        ).criterion
    )


def test_other_values_are_refused():
    with pytest.raises(ValueError, match="progress='yes'"):
        work("yes")  # type: ignore[arg-type]


def test_a_stream_counts_its_rows_and_can_be_interrupted(capsys, tmp_path, monkeypatch):
    pytest.importorskip("tqdm")
    pytest.importorskip("pyarrow")
    sleep = mf.load_dataset("sleepstudy")
    sleep.to_parquet(tmp_path / "sleep.parquet")
    given = ("Reaction ~ Days + (Days | Subject)", [tmp_path / "sleep.parquet"])
    whole = mf.crossproducts(*given)
    assert capsys.readouterr().err == ""
    m = mf.lmer(*given, progress=True)
    assert "180/180" in capsys.readouterr().err
    m.augment_to(tmp_path / "out.parquet", progress=True)
    assert "180/180" in capsys.readouterr().err

    def impatient(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(map_reduce, "bar", impatient)
    with pytest.raises(KeyboardInterrupt):
        mf.crossproducts(*given)
    monkeypatch.undo()
    assert (mf.crossproducts(*given).xy == whole.xy).all()
