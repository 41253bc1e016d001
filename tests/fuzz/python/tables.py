"""CSV files at the command's door: a page and status 0, or one line on standard error and status 1.

The first byte says whether the rest is a file as it is, or choices of cells, which gives tables
that have the columns.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path

from harness import Choices, fuzz, nothing_happens

CELLS = [
    "",
    "NA",
    "nan",
    "inf",
    "-inf",
    "0",
    "1",
    "-1",
    "2.5",
    "1e308",
    "1e-320",
    "99999999999999999999",
    "9007199254740993",
    "0x10",
    "1,5",
    '"a, b"',
    '"a\nb"',
    "True",
    "false",
    "2026-11-24",
    "é",
    "a",
    "b",
    "c",
    " ",
    '"',
    "'",
    "1_000",
    "\x00",
    "ℵ",
    "a" * 300,
]
FORMULAS = [
    "y ~ x + (1 | g)",
    "y ~ x * s + (x | g)",
    "log(y) ~ poly(x, 2) + (1 | g/s)",
    "y ~ . + (1 | g)",
]
HEADS = [
    "y,x,s,g",
    "y,x,s,g,",
    "y,x,s,g,y",
    "\ufeffy,x,s,g",
    "y;x;s;g",
    "Y,X,S,G",
    '"y","x","s","g"',
    "y,x,s",
    "",
]


def file_of(choices: Choices) -> bytes:
    """Return the table that a fuzzer's bytes stand for."""
    if choices.below(3) == 0:
        return choices.rest()
    lines = [choices.one(HEADS) if choices.below(4) == 0 else HEADS[0]]
    for i in range(12):
        cells = [f"{(i * 7) % 5 - 1.5 + i % 3}", f"{(i * 5) % 7}", "abc"[i % 3], f"{i % 4}"]
        for _ in range(choices.below(3)):
            cells[choices.below(4)] = choices.one(CELLS)
        lines.append(",".join(cells))
    return "\n".join(lines).encode()


def one_input(data: bytes) -> None:
    from mixedfast.cli import main

    choices = Choices(data)
    arguments = ["fit", choices.one(FORMULAS)]
    more = [
        ["--weights", "x"],
        ["--offset", "x"],
        ["--categorical", "x"],
        ["--na", "raise"],
        ["--ml", "--anova"],
    ]
    options = choices.one(more) if choices.below(3) == 0 else []
    said, printed = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(file_of(choices))
        with (
            nothing_happens(),
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(printed),
        ):
            status = main([*arguments, str(path), *options])
    complaints = [
        line for line in said.getvalue().splitlines() if not line.startswith("mixedfast: warning:")
    ]
    assert status in (0, 1), f"status {status}"
    assert len(complaints) == status, said.getvalue()
    assert not status or not complaints[0].startswith("mixedfast: \n"), "an error without a word"
    assert status or printed.getvalue(), f"nothing printed {os.linesep}"


if __name__ == "__main__":
    fuzz(one_input, ["mixedfast"])
