"""Examples of README.md and of the pages in docs/: found, run and compared with the page.

A page is a script. Its ``python`` blocks run one after the other in one namespace; a ``text`` block
right after one shows what that block prints, or the value of its last line; ``...`` stands for
anything. A ``console`` block is a command after ``$`` and what it prints.

    python tests/helpers/examples.py README.md docs/*.md     # write what the examples print now into the pages
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfast.cli import main as command

BLOCK = re.compile(
    r"^```(?P<kind>python|console)\n(?P<code>.*?)^```\n(?:\n*^```text\n(?P<shown>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """A block of a page: its code, the output shown (None: none is), and where it is."""

    kind: str
    code: str
    shown: str | None
    line: int
    place: tuple[int, int]


def examples(page: str) -> Iterator[Example]:
    """Return the blocks of a page that are run, in order."""
    for found in BLOCK.finditer(page):
        line = page.count("\n", 0, found.start("code")) + 1
        if found["kind"] == "console":
            for part in re.finditer(
                r"^\$ (?P<call>[^\n]*)\n(?P<shown>(?:(?!\$ ).*\n)*)", found["code"], re.MULTILINE
            ):
                start = found.start("code")
                where = (start + part.start("shown"), start + part.end("shown"))
                yield Example("console", part["call"], part["shown"], line, where)
        else:
            where = found.span("shown") if found["shown"] is not None else (0, 0)
            yield Example("python", found["code"], found["shown"], line, where)


def output(example: Example, names: dict[str, Any]) -> str:
    """Return what an example prints and the value of its last line, as Python's prompt shows it."""
    printed = io.StringIO()
    wide = pd.option_context("display.width", 110, "display.max_columns", 20)
    with contextlib.redirect_stdout(printed), wide:
        if example.kind == "console":
            program, *arguments = shlex.split(example.code)
            if program != "mixedfast":
                raise ValueError(
                    f"line {example.line}: a console example calls mixedfast, not {program}"
                )
            command(arguments)
        else:
            _run(ast.parse("\n" * (example.line - 1) + example.code), names)
    return printed.getvalue()


def _run(script: ast.Module, names: dict[str, Any]) -> None:
    last = script.body.pop() if script.body and isinstance(script.body[-1], ast.Expr) else None
    exec(compile(script, "<page>", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "<page>", "eval"), names)
        if value is not None:
            print(repr(value))


def agree(now: str, shown: str) -> bool:
    """Whether what is printed now is what the page shows."""
    return doctest.OutputChecker().check_output(tidied(shown), tidied(now), doctest.ELLIPSIS)


def written(page: str) -> str:
    """Return the page with its present outputs; outputs that agree stay as they are."""
    names: dict[str, Any] = {"__name__": "page"}
    pieces, end = [], 0
    for example in examples(page):
        now = output(example, names)
        if example.shown is not None and not agree(now, example.shown):
            pieces += [page[end : example.place[0]], tidied(now)]
            end = example.place[1]
    return "".join([*pieces, page[end:]])


def tidied(text: str) -> str:
    """Without blanks at the ends of lines, and with one line break at the end."""
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n")) + "\n"


if __name__ == "__main__":
    pages, start = [Path(name).resolve() for name in sys.argv[1:]], Path.cwd()
    for path in pages:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)  # the examples of a page write files
            made = written(path.read_text(encoding="utf-8"))
            os.chdir(start)
        path.write_text(made, encoding="utf-8")
