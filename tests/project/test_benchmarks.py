"""Benchmarks: tables from a seed, libraries that are missing, and reports."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the source tree only")

import mixedfast as mf
from benchmarks import __main__ as command
from benchmarks import against_base, runner
from benchmarks.agreement import compare
from benchmarks.children import last_words
from benchmarks.libraries import LIBRARIES, Library
from benchmarks.machine import limits
from benchmarks.problems import PROBLEMS, SEED, stored
from benchmarks.report import markdown, rows, to_csv
from benchmarks.runner import Overlap, Settings, one_run_at_a_time, run, wants_another
from benchmarks.scaling import measure, to_markdown
from benchmarks.tables import read_columns, read_model, used_bytes

SMALL = 0.002
MACHINE = {
    "date": "2026-01-01",
    "cpu": "a processor",
    "cores": 2,
    "memory_bytes": 2**33,
    "system": "a system",
    "threads": 2,
    "copy_bytes_per_second": 1e10,
    "read_bytes_per_second": 1e10,
    "dgemm_flops_per_second": 1e11,
    "dpotrf_flops_per_second": 1e11,
    "order": 1000,
}


# -- problems --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", PROBLEMS)
def test_a_table_comes_again_from_its_seed(key):
    problem = PROBLEMS[key]
    once, again, other = (
        problem.table(np.random.default_rng(seed), SMALL) for seed in (SEED, SEED, SEED + 1)
    )
    assert set(problem.model.columns()) <= set(once)
    assert len({len(c) for c in once.values()}) == 1
    for name, column in once.items():
        np.testing.assert_array_equal(np.asarray(column), np.asarray(again[name]))
    made_up = key not in ("P1", "P3", "P4", "P6", "P7")
    y = problem.model.response
    assert made_up != (len(once[y]) == len(other[y]) and np.array_equal(once[y], other[y]))


@pytest.mark.parametrize(
    ("key", "rows", "levels"),
    [
        ("P1", 7185, {"school": 160}),
        ("P3", 144, {"plate": 24, "sample": 6}),
        ("P4", 60, {"sample": 30, "batch": 10}),
        ("P7", 73421, {"s": 2972, "d": 1128}),
        ("P10b", 7230, {"child": 1721, "school": 60}),
    ],
)
def test_the_small_problems_have_the_sizes_they_are_known_for(key, rows, levels):
    table = PROBLEMS[key].table(np.random.default_rng(SEED), 1.0)
    assert len(table[PROBLEMS[key].model.response]) == rows
    assert {group: len(set(np.asarray(table[group]))) for group in levels} == levels


@pytest.mark.parametrize("key", ["P8", "P8b", "P9", "P10d", "P11"])
def test_the_made_up_problems_grow_with_the_scale(key):
    model = PROBLEMS[key].model
    small, large = (
        PROBLEMS[key].table(np.random.default_rng(SEED), scale) for scale in (0.01, 0.02)
    )
    assert len(large[model.response]) == pytest.approx(2 * len(small[model.response]), rel=0.01)
    for term in model.random:
        codes = large[term.group]
        assert codes.dtype == np.int32
        assert len(np.unique(codes)) == codes.max() + 1, "every level is met"


def test_children_belong_to_one_school():
    table = pd.DataFrame(PROBLEMS["P10c"].table(np.random.default_rng(SEED), SMALL))
    assert (table.groupby("child").school.nunique() == 1).all()
    assert (table.groupby("child").size() >= 2).all()


def test_ratings_fall_off_as_zipf_says():
    item = PROBLEMS["P9"].table(np.random.default_rng(SEED), 0.05)["item"]
    degrees = np.sort(np.bincount(item))[::-1]
    assert degrees[0] / degrees[9] == pytest.approx(10, rel=0.2)


def test_a_table_is_read_as_it_was_written(tmp_path):
    place = stored(PROBLEMS["P7"], tmp_path, scale=0.02)
    made = PROBLEMS["P7"].table(np.random.default_rng(SEED), 0.02)
    columns = read_columns(place)
    assert read_model(place) == PROBLEMS["P7"].model
    assert list(columns) == PROBLEMS["P7"].model.columns() == ["y", "service", "dept", "s", "d"]
    for name, column in columns.items():
        np.testing.assert_array_equal(np.asarray(column), np.asarray(made[name]))
    # doubles, and codes as narrow as pandas keeps them: 1,128 lecturers need two bytes, the others
    # one
    assert used_bytes(columns) == len(columns["y"]) * (8 + 1 + 1 + 1 + 2)
    stamp = (place / "table.json").stat().st_mtime_ns
    assert stored(PROBLEMS["P7"], tmp_path, scale=0.02) == place
    assert (place / "table.json").stat().st_mtime_ns == stamp, "written once"


# -- runs ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_fit_once")
def test_our_fit_in_a_child_process_is_our_fit_here(tmp_path):
    problem = dataclasses.replace(PROBLEMS["P1"], tasks=("standard errors", "satterthwaite"))
    missing = Library("nobody", "nobody.py", module="no_such_module")
    said: list[str] = []
    (entries,) = run(
        [problem], [LIBRARIES["mixedfast"], missing], Settings(repeat=1), tmp_path, said.append
    )
    m = mf.lmer(problem.model.formula, mf.load_dataset("hsb"))
    ours = {e["task"]: e for e in entries if e["library"] == "mixedfast"}
    for entry in ours.values():
        assert entry["status"] == "ran"
        assert entry["rows"] == m.nobs
        assert all(t > 0 for t in entry["times"])
        assert entry["answers"]["criterion"] == pytest.approx(m.criterion, abs=1e-8)
        np.testing.assert_allclose(entry["answers"]["se"], m.bse)
        np.testing.assert_allclose(entry["answers"]["beta"], m.params)
        np.testing.assert_allclose(entry["answers"]["variances"][0][0][0], m.varcorr.variance[0])
    assert ours["standard errors"]["answers"]["df"] is None
    np.testing.assert_allclose(ours["satterthwaite"]["answers"]["df"], m.coef_table().df)
    (skipped,) = (e for e in entries if e["library"] == "nobody")
    assert (skipped["status"], skipped["reason"]) == ("skipped", "not installed")
    assert "  nobody: skipped (not installed)" in said


@pytest.mark.exhaustive
def test_a_fit_past_the_limit_is_ended_and_so_is_who_contains_it(tmp_path):
    slow, whole = (
        dataclasses.replace(LIBRARIES["mixedfast"], name=name) for name in ("slow", "whole")
    )
    (entries,) = run(
        [PROBLEMS["P3"]],
        [slow, dataclasses.replace(whole, includes="slow")],
        Settings(limit=0.0),
        tmp_path,
        lambda line: None,
    )
    assert {e["status"] for e in entries} == {"timed out"}
    assert [e["reason"] for e in entries if e["library"] == "whole"] == [
        "slow, a part of it, did"
    ] * 3


def test_a_child_that_dies_tells_why(tmp_path):
    broken = Library("broken", "no_such_adapter.py", module="mixedfast")
    problem = dataclasses.replace(PROBLEMS["P3"], tasks=("standard errors",))
    ((entry,),) = run([problem], [broken], Settings(), tmp_path, lambda line: None)
    assert entry["status"] == "failed"
    assert "No module named" in entry["reason"]


def test_the_reason_of_a_failure_is_its_message_not_the_backtrace():
    trace = (
        "stack backtrace:\n   0: rust_begin_unwind\n  43: _start\nnote: Some details are omitted\n"
    )
    assert (
        last_words(f"thread 'x' panicked at src/fit.rs:360:3:\nindex out of bounds\n{trace}")
        == "index out of bounds"
    )
    assert (
        last_words(f"loading\nmemory allocation of 32 bytes failed\n{trace}")
        == "memory allocation of 32 bytes failed"
    )
    assert (
        last_words("Error in lmer(y ~ x) : \n  no such thing\nExecution halted\n")
        == "Error in lmer(y ~ x) : no such thing"
    )
    assert (
        last_words("Traceback (most recent call last):\n  File\nValueError: too many\n")
        == "ValueError: too many"
    )
    assert last_words("\n") == "ended without a word"


def test_two_runs_do_not_overlap(tmp_path):
    lock = tmp_path / "lock"
    with one_run_at_a_time(lock), pytest.raises(Overlap, match="going on"), one_run_at_a_time(lock):
        pass


@pytest.fixture
def each_fit_once(monkeypatch):
    """Short fits are not repeated until they have taken half a second."""
    monkeypatch.setattr(runner, "SECONDS_OF_SHORT_FITS", 0.0)


@pytest.fixture(autouse=True)
def a_lock_of_our_own(tmp_path, monkeypatch):
    """Use a lock for these tests, so that a run elsewhere on the machine does not matter."""
    monkeypatch.setattr(runner, "LOCK", tmp_path / "benchmarks.lock")


@pytest.mark.parametrize(
    ("times", "more"),
    [
        ([], True),
        ([1.0], True),
        ([15.0], False),  # twice would pass the budget
        ([1.0] * 5, False),
        ([0.01] * 5, True),
        ([0.001] * 100, False),
    ],
)
def test_who_runs_again(times, more):
    assert wants_another({"status": "ran", "times": times}, Settings(repeat=5, budget=20)) == more


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["run", "--problems", "P1,P99"])
    assert "P99: not one of P1" in capsys.readouterr().err


def test_what_the_machine_can_do_is_measured():
    measured = limits(order=50, doubles=1000)
    assert measured.pop("order") == 50
    assert all(np.isfinite(value) and value > 0 for value in measured.values())


@pytest.mark.exhaustive
@pytest.mark.usefixtures("each_fit_once")
def test_a_run_is_written_and_may_be_added_to(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "describe", lambda threads: MACHINE)
    places = [
        "--out",
        str(tmp_path / "out"),
        "--data",
        str(tmp_path / "data"),
        "--libraries",
        "mixedfast",
    ]
    places += ["--repeat", "1", "--threads", "1"]
    for more in (["--problems", "P4"], ["--problems", "P3", "--update"]):
        assert command.main(["run", *places, *more]) == 0
    record = json.loads((tmp_path / "out" / "runs.json").read_text())
    assert list(dict.fromkeys(e["problem"] for e in record["entries"])) == ["P3", "P4"]
    assert record["machine"] == MACHINE
    assert "## P4, satterthwaite" in capsys.readouterr().out


@pytest.mark.exhaustive
def test_scaling_keeps_the_schools(tmp_path):
    points = measure(Settings(repeat=1), tmp_path, lambda line: None, steps=(5_000, 20_000))
    assert [p["rows"] for p in points] == [5_000, 20_000]
    assert [p["column_bytes"] for p in points] == [rows * (9 * 8 + 4) for rows in (5_000, 20_000)]
    assert all(p["assembly"] > 0 and p["after"] > 0 for p in points)
    assert "| 20,000 |" in to_markdown({"machine": MACHINE, "points": points})


# -- reports ---------------------------------------------------------------------------------------


def answers(**changed):
    return {
        "criterion": 100.0,
        "reml": True,
        "beta": [1.0, 2.0],
        "se": [0.1, 0.2],
        "df": None,
        "variances": [[[4.0]]],
        "sigma2": 9.0,
        "evaluations": 10,
        "converged": True,
        "engine": {"components": 1, "dense_columns": 1000},
    } | changed


def entry(library, times, status="ran", task="standard errors", **changed):
    return {
        "problem": "P1",
        "task": task,
        "title": "a problem",
        "formula": "y ~ x + (1 | g)",
        "reml": True,
        "note": "",
        "rows": 100,
        "column_bytes": 2400,
        "library": library,
        "status": status,
        "limit": 60.0,
        "times": times,
        "cpu_times": times,
        "peak_bytes": 2**27,
        "blas": ["a blas"],
        **({"answers": answers(**changed)} if times else {}),
    }


CANNED = [
    entry("mixedfast", [0.2, 0.1, 0.3]),
    entry("glmm", [0.5]),
    entry("mixedlm", [0.1], beta=[1.0, 2.1]),  # fast, and wrong
    entry("lme4", [2.0], criterion=100.5, converged=False),
    entry("lmerTest", [], status="timed out"),
    entry("gpboost", [1.0], reml=False, criterion=90.0),
    {**entry("statsmodels", [], status="skipped"), "reason": "not installed"},
]


def test_ratios_and_verdicts():
    table = {r["library"]: r for r in rows(CANNED)}
    assert table["mixedfast"]["seconds"] == 0.2
    assert table["mixedfast"]["ratio_to_ours"] == 1
    assert table["glmm"]["ratio_to_ours"] == pytest.approx(2.5)
    assert table["lmerTest"]["ratio_to_ours"] == pytest.approx(300)
    assert table["mixedfast"]["verdict"] == table["glmm"]["verdict"] == ""
    assert table["mixedlm"]["verdict"] == "fixed effects off by 0.5 SE"
    assert table["lme4"]["verdict"] == "WORSE FIT by 0.5; says it did not converge"
    assert table["gpboost"]["verdict"] == "fits ML"
    assert table["statsmodels"]["verdict"] == "not installed"


def test_the_page_names_the_best_who_is_right():
    record = {"machine": MACHINE, "settings": dataclasses.asdict(Settings()), "entries": CANNED}
    page = markdown(record)
    assert (
        "| P1 | standard errors | 200 ms | glmm 500 ms | 2.5 | 10 | 128 MiB | 128 MiB | 0 |" in page
    )
    assert "| lmerTest | > 60 s |" in page
    # ten factorizations of order 1000 at 1e11 a second, and 2400 bytes at 1e10
    assert "| P1 | 200 ms | 0.24 µs | 10 | 1000 | 33.3 ms | 17% |" in page
    assert "trial run" not in page
    record["settings"]["scale"] = 0.1
    assert "this is a trial run" in markdown(record)


def test_a_lower_criterion_that_nobody_confirms_is_no_reference():
    alone = entry("mixedlm", [0.1], criterion=50.0, beta=[7.0, 7.0])
    verdicts = {name: a["verdict"] for name, a in compare([*CANNED[:2], alone]).items()}
    assert verdicts["mixedfast"] == verdicts["glmm"] == ""
    assert "off by" in verdicts["mixedlm"]


@pytest.mark.parametrize(
    "changed",
    [{"beta": [np.nan, 2.0]}, {"se": [np.nan, 0.2]}, {"criterion": np.nan}, {"beta": [1.0]}],
)
def test_what_is_no_number_is_not_agreement(changed):
    assert compare([*CANNED[:2], entry("mixedlm", [0.1], **changed)])["mixedlm"]["verdict"]


def test_degrees_of_freedom_are_held_to_r():
    task = "satterthwaite"
    ours, theirs = (
        entry("mixedfast", [0.1], task=task, df=[10.0, 20.0]),
        entry("lmerTest", [1.0], task=task, df=[10.0, 40.0]),
    )
    verdicts = {name: a["verdict"] for name, a in compare([ours, theirs]).items()}
    assert verdicts == {"mixedfast": "df off by 0.5", "lmerTest": ""}


def test_report_writes_tables_and_a_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    record = {"machine": MACHINE, "settings": dataclasses.asdict(Settings()), "entries": CANNED}
    (tmp_path / "runs.json").write_text(json.dumps(record))
    assert command.main(["report", "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(table) == len(CANNED)
    assert to_csv(rows(CANNED)) == (tmp_path / "table.csv").read_text()
    assert (tmp_path / "table.md").read_text() in capsys.readouterr().out
    assert "<svg" in (tmp_path / "times.svg").read_text()


def test_two_trees_are_compared_by_their_minima(tmp_path, capsys, monkeypatch):
    seconds = {  # in the order of the runs: three rounds, then what looked slower once more
        "base": iter([{"a": 2, "b": 3, "gone": 1}] * 3 + [{"a": 2, "b": 3}] * 3),
        "head": iter([{"a": a, "b": 9, "new": 1} for a in (9, 3, 9)] + [{"a": 3, "b": 3}] * 3),
    }
    asked = []

    def run_once(tree, selection):
        asked.append((tree.name if tree == base else "head", list(selection)))
        found = next(seconds[asked[-1][0]])
        return {"benchmarks": [{"fullname": k, "stats": {"min": v}} for k, v in found.items()]}

    base = tmp_path / "base"
    monkeypatch.setattr(against_base, "run_once", run_once)
    assert against_base.main([str(base)]) == 1
    page = capsys.readouterr().out
    assert "| a | 2000.000 | 3000.000 | **1.50** |" in page
    assert "| b | 3000.000 | 3000.000 | 1.00 |" in page
    assert "In one tree only: gone, new" in page
    every, suspects = ["benchmarks/micro"], ["b", "a"]
    assert (
        asked
        == [("base", every), ("head", every)] * 3
        + [
            ("base", suspects),
            ("head", suspects),
        ]
        * 3
    )
