"""The command: what it prints, and how it says that something is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import mixedfast as mf
from mixedfast.cli import main

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture
def csv(tmp_path: Path) -> str:
    path = tmp_path / "sleep.csv"
    mf.load_dataset("sleepstudy").to_csv(path, index=False)
    return str(path)


def test_fit_prints_the_summary(csv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", FORMULA, csv]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{mf.lmer(FORMULA, mf.load_dataset('sleepstudy')).summary()}\n"
    assert printed.err == ""


def test_fit_reads_parquet_as_it_reads_csv(
    csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sleep.parquet"
    pd.read_csv(csv).to_parquet(path)
    main(["fit", FORMULA, csv])
    from_csv = capsys.readouterr().out
    assert main(["fit", FORMULA, str(path)]) == 0
    assert capsys.readouterr().out == from_csv


def test_options_reach_the_fit(csv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", FORMULA, csv, "--ml", "--ddf", "asymptotic", "--anova"]) == 0
    out = capsys.readouterr().out
    assert "maximum likelihood" in out
    assert "z value" in out
    assert "Type III analysis of variance (asymptotic degrees of freedom)" in out


def test_demo_prints_the_analysis(capsys: pytest.CaptureFixture[str]) -> None:
    from mixedfast.report.demo import demo_text

    assert main(["demo"]) == 0
    assert capsys.readouterr().out == f"{demo_text()}\n"


def test_versions_name_the_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["versions"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["mixedfast", mf.__version__]
    for piece in ("python", "numpy", "scipy", "blas", "cholmod", "processors"):
        assert piece in out


@pytest.mark.parametrize(
    ("formula", "file", "said"),
    [
        (FORMULA, "absent.csv", "absent.csv"),
        (FORMULA, "table.xlsx", ".parquet"),
        ("Reaction ~ Days", None, "no random term"),
        ("Reaction ~ Days + (Days | Subjekt)", None, "did you mean 'Subject'"),
        ("Reaction ~ (Days | Subject", None, "("),
    ],
)
def test_a_user_error_is_one_line_and_status_1(
    csv: str, formula: str, file: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", formula, file or csv]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mixedfast: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_an_unreadable_file_is_a_user_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("empty.csv", b""), ("noise.parquet", b"not parquet")):
        path = tmp_path / name
        path.write_bytes(content)
        assert main(["fit", FORMULA, str(path)]) == 1
        assert f"cannot read {path}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fit"], ["fit", FORMULA, "x.csv", "--ddf", "guess"], ["dance"]])
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: mixedfast" in capsys.readouterr().err


def test_help_shows_the_commands_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("fit", "demo", "versions", "examples:", "exit status"))


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "mixedfast.cli", "versions"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("mixedfast")
