"""Every example of README.md and of the pages in docs/ runs, and prints what the page shows."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.examples import agree, examples, output

import mixedfast as mf

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def scale(names: dict[str, Any]) -> None:
    """Files and tables that the page on large data takes for granted."""
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    students = mf.load_dataset("hsb").astype({"school": str})
    students["sex"] = students["sex"].astype(str).str[0]
    half = students["school"] < "5000"
    for folder, part in {
        "students": students,
        "district-a": students[half],
        "2027": students[~half],
    }.items():
        Path(folder).mkdir()
        part[["school", "sex", "ses", "math"]].to_parquet(f"{folder}/part.parquet", index=False)
    formula, levels = "math ~ ses + sex + (1 + ses | school)", {"sex": ["F", "M"]}
    mf.crossproducts(formula, students[~half], levels=levels).save("b.mf")
    patients = pd.DataFrame(
        {"y": students["math"], "age": students["ses"] * 9 + 30, "clinic": students["school"]}
    )
    rng = np.random.default_rng(0)
    user, film = rng.integers(0, 40, 600), rng.integers(0, 25, 600)
    rating = rng.normal(size=600) + rng.normal(size=40)[user] + rng.normal(size=25)[film]
    ratings = pd.DataFrame({"user": user, "film": film, "rating": rating})
    names.update(duckdb=duckdb, formula=formula, patients=patients, ratings=ratings)


#: What a page finds before its first block, where that is not an empty folder.
GIVEN: dict[str, Callable[[dict[str, Any]], None]] = {"scale.md": scale}
#: Text that is missing is written NaN since pandas 3.
PANDAS_WRITES_NONE = int(pd.__version__.split(".")[0]) < 3


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    GIVEN.get(path.name, lambda _: None)(names)
    for example in examples(path.read_text(encoding="utf-8")):
        now = output(example, names)
        if PANDAS_WRITES_NONE:
            now = now.replace(" None", "  NaN")
        if example.shown is not None:
            assert agree(now, example.shown), f"{path.name}, line {example.line}, prints:\n{now}"


def test_a_wrong_output_is_seen() -> None:
    [example] = examples("```python\nx = 6 * 7\nx\n```\n\n```text\n41\n```\n")
    assert example.shown is not None
    assert not agree(output(example, {}), example.shown)
    assert agree(output(example, {}), "4...")


def test_blocks_are_found_in_order() -> None:
    page = (
        "```python\na = 1\n```\nwords\n\n```console\n$ mixedfast versions\n...\n```\n\n"
        "```sh\nmake\n```\n\n```text\nwords\n```\n"
    )
    found = list(examples(page))
    assert [(each.kind, each.shown, each.line) for each in found] == [
        ("python", None, 2),
        ("console", "...\n", 7),
    ]


@pytest.mark.parametrize(("page", "least"), [("maths.md", 30), ("how_built.md", 25)])
def test_rooms_that_a_page_names_are_there(page: str, least: int) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_/]+(?:\.py|/))`", text)
    package = Path(mf.__file__).parent
    assert len(named) > least
    assert [
        name
        for name in named
        if not (package / name).exists() and name not in ("csrc/", "mixedfast/")
    ] == []


def test_files_that_the_contributing_guide_names_are_there() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:csrc|docs|mixedfast|tests)/[a-z_/]+(?:\.\w+)?)`", guide))
    package = Path(mf.__file__).parent
    assert len(named) > 15
    assert [
        name
        for name in named
        if not (package.parent if name.startswith("mixedfast/") else ROOT).joinpath(name).exists()
    ] == []


def test_names_in_the_table_of_symbols_are_in_the_code() -> None:
    page = (ROOT / "docs" / "maths.md").read_text(encoding="utf-8")
    table = page[page.index("| symbol | in the code |") : page.index("Sources:")]
    cells = [line.replace("\\|", "").split("|")[2] for line in table.splitlines()[2:] if line]
    quoted = {name for cell in cells for name in re.findall(r"`([\w.]+?)(?:\(\))?`", cell)}
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in Path(mf.__file__).parent.rglob("*.py")
    )
    known = set(re.findall(r"(?:def |class |self\.)(\w+)|^    (\w+): ", code, re.MULTILINE))
    defined = {name for pair in known for name in pair}
    assert len(quoted) > 25
    assert {name for name in quoted if name.rpartition(".")[2] not in defined} == set()


def test_kept_pictures_are_those_of_this_code() -> None:
    image = pytest.importorskip("PIL.Image")
    spec = importlib.util.spec_from_file_location(
        "make_pictures", ROOT / "docs" / "make_pictures.py"
    )
    assert spec is not None and spec.loader is not None
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    kept = sorted((ROOT / "docs" / "pictures").glob("*.png"))
    assert len(kept) == 2
    for path in kept:
        assert image.open(path).text["Source"] == pictures.stamp(), (
            f"{path.name} is older than its code: make pictures"
        )


def test_pages_link_to_what_is_there() -> None:
    for page in PAGES:
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        # pictures are drawn with the pages; the source distribution carries no benchmarks
        elsewhere = ("made/",) if (ROOT / "benchmarks").is_dir() else ("made/", "benchmarks/")
        missing = [
            link
            for link in links
            if not (page.parent / link).exists() and not link.startswith(elsewhere)
        ]
        assert missing == [], page.name


def test_the_reference_has_every_public_name() -> None:
    reference = (ROOT / "docs" / "reference.rst").read_text(encoding="utf-8")
    shown = set(re.findall(r"auto(?:function|class):: (?:[\w.]+\.)?(\w+)", reference))
    in_errors = {name for name in dir(mf.errors) if name in mf.__all__}  # shown as a module
    assert set(mf.__all__) - shown - in_errors == {"__version__"}
