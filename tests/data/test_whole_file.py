"""Files are written whole or not at all, and only where a plain file may stand."""

from __future__ import annotations

import errno
import os
import stat
import threading

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
from mixedfast.cli import main
from mixedfast.data.whole_file import whole_file, write_text


@pytest.fixture(scope="module")
def fit():
    return mf.lmer("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Return a Parquet file of many row groups."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    r, n = np.random.default_rng(0), 20_000
    table = pd.DataFrame({"y": r.normal(size=n), "x": r.normal(size=n), "g": r.integers(0, 90, n)})
    table.to_parquet(path, row_group_size=500)
    return path


def kinds(folder):
    """Return pipes, sockets and devices of a folder, by name."""
    os.mkfifo(folder / "pipe")
    made = {"pipe": stat.S_ISFIFO}
    if os.geteuid() == 0:
        os.mknod(folder / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        made["device"] = stat.S_ISCHR
    return made


def test_devices_pipes_and_folders_stay_what_they_are(fit, tmp_path):
    (tmp_path / "folder").mkdir()
    for name, is_kind in {**kinds(tmp_path), "folder": stat.S_ISDIR}.items():
        for write in (fit.save, fit.to_html):
            with pytest.raises(mf.DataError, match=f"{name} is a .*give the name of a file"):
                write(tmp_path / name)
        assert is_kind((tmp_path / name).stat().st_mode)
    assert not list(tmp_path.glob("*.part"))


def test_permissions_and_links_are_kept(fit, tmp_path):
    fit.save(tmp_path / "real")
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) & 0o600 == 0o600
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    fit.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o600
    (tmp_path / "real").chmod(0o664)  # neither the mode of a new file nor that of a private one
    fit.save(tmp_path / "link")
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o664
    assert mf.load(tmp_path / "real").criterion == fit.criterion


def test_after_an_error_the_old_file_is_whole(tmp_path):
    path = tmp_path / "page.html"
    write_text("to_html", path, "old")
    with pytest.raises(RuntimeError), whole_file("to_html", path) as file:
        file.write(b"half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_a_full_disk_is_reported_with_the_name_that_was_given(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "page.html"
    write_text("to_html", path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*page\.html'"):
        write_text("to_html", path, "new")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_an_error_of_what_is_read_keeps_its_words(tmp_path):
    with (
        pytest.raises(OSError, match=r"^cannot decode batch 3$"),
        whole_file("augment_to", tmp_path / "out.parquet"),
    ):
        raise OSError("cannot decode batch 3")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_reported_with_the_name_that_was_given(fit, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.result\.mf'"):
        fit.save(tmp_path / "nowhere" / "result.mf")


def test_the_report_does_not_replace_the_data(tmp_path, capsys):
    path = tmp_path / "in.csv"
    mf.load_dataset("sleepstudy").to_csv(path, index=False)
    before = path.read_bytes()
    command = ["fit", "Reaction ~ Days + (1 | Subject)", str(path), "--html", str(path)]
    assert main(command) != 0
    assert "is the file that the data are read from" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_augmented_rows_do_not_replace_the_data(rows):
    before = rows.read_bytes()
    with pytest.raises(mf.DataError, match="is the file that the data are read from"):
        mf.lmer("y ~ x + (1 | g)", rows).augment_to(rows)
    assert rows.read_bytes() == before


def test_nobody_can_guess_the_name_of_the_unfinished_file(rows, tmp_path):
    target, precious = tmp_path / "out.parquet", tmp_path / "precious"
    precious.write_text("precious")
    target.with_name(f"{target.name}.{os.getpid()}.part").symlink_to(precious)
    mf.lmer("y ~ x + (1 | g)", rows).augment_to(target)
    assert precious.read_text() == "precious"
    assert len(pd.read_parquet(target)) == 20_000


def test_two_threads_write_one_target(rows, tmp_path):
    m, errors = mf.lmer("y ~ x + (1 | g)", rows), []

    def write():
        try:
            m.augment_to(tmp_path / "out.parquet")
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [each.name for each in tmp_path.iterdir()] == ["out.parquet"]
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 20_000


def test_an_interrupt_while_the_writing_thread_starts(rows, tmp_path, monkeypatch):
    m, start = mf.lmer("y ~ x + (1 | g)", rows, threads=1), threading.Thread.start
    before = set(threading.enumerate())

    def interrupted(thread):
        start(thread)
        if thread.name.startswith("mixedfast-"):
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt):
            m.augment_to(tmp_path / "out.parquet")
        assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) <= before
