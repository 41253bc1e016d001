"""Users' code under mypy in strict mode: what is right passes, what is wrong is found."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

TYPED = Path(__file__).parents[1] / "typed"
ROOT = TYPED.parent.parent


@pytest.fixture(scope="module")
def said() -> list[str]:
    """Return the messages of mypy for both files, line by line.

    Its cache is shared with the checks of the package.
    """
    pytest.importorskip("mypy")
    if not np.lib.NumpyVersion(np.__version__) >= "2.3.0":
        pytest.skip("before 2.3 NumPy's arrays have no default for their type parameters")
    given = [
        sys.executable,
        "-m",
        "mypy",
        "--no-error-summary",
        "--config-file",
        "pyproject.toml",
        str(TYPED),
    ]
    return subprocess.run(
        given, cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()


def test_right_code_passes(said: list[str]) -> None:
    assert [line for line in said if "mistakes.py" not in line] == []


def test_each_mistake_is_found(said: list[str]) -> None:
    lines = (TYPED / "mistakes.py").read_text().splitlines()
    expected = {(i, line.rpartition("# ")[2]) for i, line in enumerate(lines, 1) if "  # " in line}
    found = [
        re.search(r"mistakes\.py:(\d+): error: .*\[([a-z-]+)\]", line)
        for line in said
        if "mistakes.py" in line
    ]
    assert {(int(hit[1]), hit[2]) for hit in found if hit} == expected


def test_the_package_says_that_it_is_typed() -> None:
    package = files("mixedfast")
    assert (package / "py.typed").is_file()
    engines = ("_levels", "_border", "_blocked_cholesky", "_cholmod")
    for compiled in (
        "_locks",
        "crossprod/_sums",
        "data/_codes",
        *(f"engines/{name}" for name in engines),
    ):
        assert (package / f"{compiled}.pyi").is_file()
