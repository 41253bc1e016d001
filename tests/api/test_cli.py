"""The command: what it prints, and how it says that something is wrong."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from io import BytesIO, StringIO, TextIOWrapper
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


def test_fit_prints_a_generalized_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    students = mf.load_dataset("hsb").head(600)
    students["passed"] = (students["math"] > 12).astype(int)
    path = str(tmp_path / "students.csv")
    students.to_csv(path, index=False)
    formula = "passed ~ ses + (1 | school)"
    assert main(["fit", formula, path, "--family", "binomial", "--link", "probit"]) == 0
    g = mf.glmer(formula, pd.read_csv(path, dtype={"school": str}), "binomial", "probit")
    assert capsys.readouterr().out == f"{g.summary()}\n"
    with pytest.raises(SystemExit):
        main(["fit", formula, path, "--link", "probit"])
    assert "need --family" in capsys.readouterr().err


def test_fit_reads_parquet_as_it_reads_csv(
    csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sleep.parquet"
    pd.read_csv(csv).to_parquet(path)
    main(["fit", FORMULA, csv])
    from_csv = capsys.readouterr().out
    assert main(["fit", FORMULA, str(path)]) == 0
    assert capsys.readouterr().out == from_csv


def test_every_kind_of_file_gives_the_same_page(
    csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pd.read_csv(csv)
    rows.to_csv(tmp_path / "sleep.tsv", sep="\t", index=False)
    rows.to_csv(tmp_path / "sleep.csv.gz", index=False)
    rows.to_parquet(tmp_path / "sleep.parquet")
    main(["fit", FORMULA, csv])
    wanted = capsys.readouterr().out
    for name in ("sleep.tsv", "sleep.csv.gz", "sleep.parquet"):
        assert main(["fit", FORMULA, str(tmp_path / name)]) == 0
        assert capsys.readouterr().out == wanted, name
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(Path(csv).read_bytes())))
    assert main(["fit", FORMULA, "-"]) == 0
    assert capsys.readouterr().out == wanted


def test_a_pattern_is_read_in_batches(
    csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_csv(csv).astype({"Subject": str})
    for i in range(3):
        rows.iloc[i::3].to_parquet(tmp_path / f"part{i}.parquet")
    pattern = str(tmp_path / "part*.parquet")
    assert main(["fit", FORMULA, pattern]) == 0
    assert "REML criterion at the optimum: 1743.6" in capsys.readouterr().out
    assert main(["fit", FORMULA, pattern, "--categorical", "Days"]) == 1
    assert "single file" in capsys.readouterr().err


@pytest.mark.parametrize("installed", [["polars"], []])
def test_parquet_is_read_by_what_is_installed(
    installed: list[str],
    csv: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("polars")
    path = tmp_path / "sleep.parquet"
    pd.read_csv(csv).to_parquet(path)
    monkeypatch.setattr(
        "mixedfast.data.read_table.find_spec", lambda name: name if name in installed else None
    )
    status = main(["fit", FORMULA, str(path)])
    printed = capsys.readouterr()
    if installed:
        assert (status, "251.405" in printed.out) == (0, True)
    else:
        assert (status, "pip install pyarrow" in printed.err) == (1, True)


def test_weights_offset_categories_and_missing_values(
    csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_csv(csv).assign(w=lambda d: 1 + d.Days % 2, o=10.0)
    rows.loc[0, "Days"] = float("nan")
    path = str(tmp_path / "more.csv")
    rows.to_csv(path, index=False)
    options = ["--weights", "w", "--offset", "o", "--categorical", "Days"]
    assert main(["fit", "Reaction ~ Days + (1 | Subject)", path, *options]) == 0
    out = capsys.readouterr().out
    wanted = mf.lmer("Reaction ~ C(Days) + (1 | Subject)", rows, weights="w", offset="o")
    assert f"{wanted.criterion:.1f}" in out and "Days[T.9]" in out and "1 row left out" in out
    assert main(["fit", FORMULA, path, "--na", "raise"]) == 1
    assert "missing values in 'Days'" in capsys.readouterr().err
    assert main(["fit", FORMULA, path, "--categorical", "Reaction"]) == 1
    assert "not whole" in capsys.readouterr().err


def test_reports_are_written(csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main(["fit", FORMULA, csv, "--ddf", "kenward-roger", "--html", str(out)]) == 0
    assert "Linear mixed model" in capsys.readouterr().out
    assert "type III, kenward-roger" in out.read_text(encoding="utf-8")
    assert main(["demo", "--html", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert "<h2>6. Which degrees of freedom?</h2>" in page and 'id="glossary"' in page
    assert main(["fit", FORMULA, csv, "--html", str(tmp_path / "nowhere" / "x.html")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_the_report_is_there_though_the_reader_left(csv: str, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mixedfast", "fit", FORMULA, csv, "--html", str(out)]
    assert (
        subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False).returncode == 141
    )
    os.close(write)
    assert out.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_a_formula_without_groups_is_a_regression(
    csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert main(["fit", "Reaction ~ Days", csv, "--anova", "--html", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Linear model fit by least squares" in printed and "analysis of variance" in printed
    page = out.read_text(encoding="utf-8")
    assert page.count("<img") == 2 and "Multiple R-squared" in page
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "Reaction ~ Days", csv, "--ml"])
    assert "no random term" in capsys.readouterr().err


@pytest.mark.filterwarnings("default::mixedfast.SingularFitWarning")
def test_a_warning_is_one_line_and_not_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dyestuff2.csv"
    mf.load_dataset("dyestuff2").to_csv(path, index=False)
    assert main(["fit", "Yield ~ 1 + (1 | Batch)", str(path)]) == 0
    err = capsys.readouterr().err
    assert err.startswith("mixedfast: warning: singular fit") and err.count("\n") == 1


def test_an_interruption_is_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mixedfast._versions.show_versions", interrupted)
    assert main(["versions"]) == 130
    assert capsys.readouterr().err == "mixedfast: interrupted\n"


def test_a_reader_that_leaves_is_no_traceback() -> None:
    nobody, write = os.pipe()
    os.close(nobody)
    done = subprocess.run(
        [sys.executable, "-m", "mixedfast", "versions"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_methods_of_df_are_those_there_are() -> None:
    from mixedfast.cli import _DDF
    from mixedfast.inference.ddf.methods import METHODS

    assert sorted(_DDF) == sorted(METHODS)


def test_options_reach_the_fit(csv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", FORMULA, csv, "--ml", "--ddf", "asymptotic", "--anova"]) == 0
    out = capsys.readouterr().out
    assert "maximum likelihood" in out
    assert "z value" in out
    assert "Type III analysis of variance (asymptotic degrees of freedom)" in out


def test_demo_prints_the_analysis(capsys: pytest.CaptureFixture[str]) -> None:
    from mixedfast._demo import demo_text

    assert main(["demo"]) == 0
    assert capsys.readouterr().out == f"{demo_text()}\n"


def test_versions_name_the_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["versions"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["mixedfast", mf.__version__]
    for piece in ("python", "numpy", "scipy", "blas", "cholmod", "processors"):
        assert piece in out


def test_versions_name_the_library_that_cholmod_is(capsys: pytest.CaptureFixture[str]) -> None:
    built = importlib.util.find_spec("mixedfast.engines._cholmod") is not None
    assert main(["versions"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("cholmod"))
    assert line.split(maxsplit=1)[1][0].isdigit() if built else line.endswith("not built")


@pytest.mark.parametrize(
    ("formula", "file", "said"),
    [
        (FORMULA, "absent.csv", "absent.csv"),
        (FORMULA, "table.doc", ".parquet"),
        ("Reaction ~ Dayz", None, "Dayz"),
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


def test_an_unreadable_file_is_a_user_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("empty.csv", b""), ("noise.parquet", b"not parquet")):
        path = tmp_path / name
        path.write_bytes(content)
        assert main(["fit", FORMULA, str(path)]) == 1
        assert f"{path} cannot be read" in capsys.readouterr().err


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="a device that is always full is Linux's"
)
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        call = [sys.executable, "-m", "mixedfast", "versions"]
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "mixedfast: No space left on device\n")


WRONG_USES: list[list[str]] = [
    [],
    ["dance"],
    ["fit"],
    ["fit", FORMULA, "x.csv", "--ddf", "guess"],
    ["fit", FORMULA, "x.csv", "--type", "II"],
]


@pytest.mark.parametrize("arguments", WRONG_USES)
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
    assert all(
        word in out for word in ("fit", "demo", "versions", "examples:", "exit status", "130")
    )


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mixedfast", "versions"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("mixedfast")


def _shell(arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a shell, with redirections."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m mixedfast {arguments}', sys.executable],
        capture_output=True,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("closed", "said"),
    [
        (">&-", b"mixedfast: standard output is closed: nothing can be printed\n"),
        ("<&- >&-", b"mixedfast: standard output is closed: nothing can be printed\n"),
        ("<&- >&- 2>&-", b""),
    ],
)
def test_a_closed_output_is_one_line(csv: str, closed: str, said: bytes) -> None:
    done = _shell(f"fit '{FORMULA}' '{csv}' {closed}")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", said)


def test_a_closed_input_is_one_line() -> None:
    done = _shell(f"fit '{FORMULA}' - <&-")
    assert done.returncode == 1
    assert done.stderr == b"mixedfast: standard input is closed: give the name of a file\n"


def test_warnings_do_not_reach_the_output_when_the_error_stream_is_closed(csv: str) -> None:
    model = "fit 'Reaction ~ Days + (Days | Subject)' --where 'Days > 5' "
    done = _shell(f"{model} '{csv}' 2>&-")
    assert done.returncode == 0
    assert b"warning:" not in done.stdout
    assert done.stdout.startswith(b"Linear mixed model")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_letters_that_the_terminal_cannot_show_are_escaped(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    path = tmp_path / "sleep.csv"
    mf.load_dataset("sleepstudy").rename(columns={"Subject": "\xe9l\xe8ve"}).to_csv(
        path, index=False
    )
    done = _shell(f"fit 'Reaction ~ Days + (1 | \xe9l\xe8ve)' '{path}'", **environment)
    assert done.returncode == 0, done.stderr
    assert b"groups: \\xe9l\\xe8ve, 18" in done.stdout


def test_where_uses_the_rows_that_satisfy_it(csv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", FORMULA, csv, "--where", "Days > 1 and not Subject == 308"]) == 0
    rows = pd.read_csv(csv)
    wanted = mf.lmer(FORMULA, rows[(rows["Days"] > 1) & (rows["Subject"] != 308)])
    assert capsys.readouterr().out == f"{wanted.summary()}\n"


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("Days", "write a comparison"),
        ("Dys > 1", "no column 'Dys'"),
        ("Days > 100", "no row satisfies it"),
        ("Days > 'a'", "cannot be computed"),
        ("Days >", "cannot read"),
        ("__import__('os').getpid() > 0", "write comparisons of columns"),
        ("@main > 0", "cannot read"),
    ],
)
def test_conditions_that_cannot_be_used(
    csv: str, condition: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", FORMULA, csv, "--where", condition]) == 1
    assert said in capsys.readouterr().err


def test_a_saved_result_is_the_one_that_is_printed(
    csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", FORMULA, csv, "--save", str(tmp_path / "m.mf")]) == 0
    coefficients = mf.load(tmp_path / "m.mf").coef_table().to_csv()
    capsys.readouterr()
    assert main(["fit", FORMULA, csv, "--table", "csv"]) == 0
    assert capsys.readouterr().out == coefficients


def test_batches_with_levels_checkpoint_and_threads(
    csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    m = mf.lmer(FORMULA, pd.read_csv(csv))
    levels = ",".join(str(level) for level in sorted(m.ranef()["Subject"].index.astype(int)))
    sums = tmp_path / "sums.mf"
    more = ["--levels", f"Subject={levels}", "--checkpoint", str(sums), "--threads", "2"]
    assert main(["fit", FORMULA, csv, "--table", "csv", *more]) == 0
    printed = pd.read_csv(StringIO(capsys.readouterr().out), index_col=0)
    pd.testing.assert_frame_equal(printed, m.coef_table(), rtol=1e-6)
    assert main(["fit", FORMULA, csv, "--where", "Days > 1", *more]) == 1
    assert "--where needs a single file" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csv", "json", "html", "docx"])
def test_tables_are_written(csv: str, tmp_path: Path, kind: str) -> None:
    if kind == "docx":
        pytest.importorskip("docx")
    path = tmp_path / f"table.{kind}"
    assert main(["fit", FORMULA, csv, "--table", str(path)]) == 0
    wanted = mf.lmer(FORMULA, pd.read_csv(csv)).coef_table()
    if kind in ("csv", "json"):
        read = pd.read_csv(path) if kind == "csv" else pd.read_json(path, precise_float=True)
        pd.testing.assert_frame_equal(read.set_index("term"), wanted, rtol=1e-12)
    else:
        assert path.stat().st_size > 1000


def test_plots_are_written(csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    png, svg = tmp_path / "c.png", tmp_path / "q.svg"
    plots = ["--plot", "caterpillar", str(png), "--plot", "qq", str(svg)]
    assert main(["fit", FORMULA, csv, *plots]) == 0
    assert png.read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in svg.read_bytes()
    assert main(["fit", FORMULA, csv, "--plot", "qq", str(tmp_path / "q.doc")]) == 1
    assert "should end in .png" in capsys.readouterr().err
