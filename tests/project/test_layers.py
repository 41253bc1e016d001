"""Rooms know only those below them.

import-linter checks imports (`make lint`), this test what it cannot see.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mixedfast

PACKAGE = Path(mixedfast.__file__).parent
CONTRACTS = PACKAGE.parent / "pyproject.toml"


def floors() -> dict[str, int]:
    """Rooms with their floor, counted from the top."""
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    contracts = tomllib.loads(CONTRACTS.read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["containers"] == ["mixedfast"])
    return {room: i for i, row in enumerate(layers) for room in re.findall(r"\w+", row)}


def words(module: Path) -> set[str]:
    """Rooms that the strings of a module name as a module's path, docstrings aside."""
    tree = ast.parse(module.read_text())
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]
    return {room for text in texts for room in re.findall(r"\bmixedfast\.(\w+)", text)}


@pytest.mark.skipif(not CONTRACTS.is_file(), reason="the contracts are not installed")
def test_no_room_names_one_above_it_by_string():
    floor = floors()
    wrong = []
    for module in sorted(PACKAGE.glob("*/**/*.py")) + sorted(PACKAGE.glob("_*.py")):
        own = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
        wrong += [
            f"{own} names {room}"
            for room in words(module)
            if own in floor and floor.get(room, len(floor)) < floor[own]
        ]
    assert not wrong
