"""What the fuzz targets in Python share.

Bytes as choices and numbers, a watch for side effects, and the fuzzer itself.

A target has a function ``one_input(data)`` that raises when something is broken. The tests call it
with the inputs that are kept; run as a program it hands the function to atheris, which looks for
more.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Choices:
    """A fuzzer's bytes as choices; when they have run out, zeros."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def below(self, n: int) -> int:
        value = self.byte()
        return (value << 8 | self.byte() if n > 256 else value) % n

    def one(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def rest(self) -> bytes:
        return self.data[self.at :]

    def __bool__(self) -> bool:
        return self.at < len(self.data)


class Numbers:
    """Small multiples of 1/8 that hang on all of a fuzzer's bytes.

    A target takes more of them than a fuzzer soon writes.
    """

    def __init__(self, data: bytes) -> None:
        import numpy as np

        self._random = np.random.default_rng(list(data))

    def __call__(self, shape: tuple[int, ...]) -> Any:
        """Return a new array, in memory of just its size."""
        return self._random.integers(-128, 128, shape) / 8.0


def within(ours: Any, plain: Any, size: Any, terms: int) -> bool:
    """Whether sums of so many products, whose sizes add up to `size`, differ by rounding alone (Higham 2002, section 3.1)."""
    return bool((abs(ours - plain) <= 4 * (terms + 4) * 1.1e-16 * size).all())


def compiled(name: str) -> Any:
    """Return an extension module: the sanitized one that `run.py` built, or the installed one."""
    folder, dotted = os.environ.get("FUZZ_EXTENSIONS"), f"mixedfast.{name.replace('/', '.')}"
    if folder is None:
        return importlib.import_module(dotted)
    spec = importlib.util.spec_from_file_location(dotted, Path(folder) / f"{name}.so")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class SideEffectError(Exception):
    """An input that should only have been read did something."""


#: What Python's audit hooks say when a process, a connection or a file is touched.
_EFFECTS = (
    "os.",
    "subprocess.",
    "socket.",
    "shutil.",
    "ctypes.",
    "urllib.",
    "webbrowser.",
    "pty.",
    "mmap.",
)
#: What importing and reading a table do as well.
_HARMLESS = frozenset(["os.listdir", "os.scandir", "os.walk", "os.add_dll_directory"])
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    writes = (
        event == "open"
        and isinstance(arguments[1], str)
        and any(mark in arguments[1] for mark in "wax+")
    )
    if writes or (event.startswith(_EFFECTS) and event not in _HARMLESS):
        raise SideEffectError(f"{event} {arguments!r}")


@functools.cache
def _ready() -> None:
    """Import what is imported late: that touches files, and belongs to no input."""
    import pandas as pd

    import mixedfast as mf
    from mixedfast.cli import main

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        table = Path(folder) / "table.csv"
        pd.DataFrame(
            {"y": [1.0, 2.0, 4.0, 3.0, 5.0, 4.5], "x": [0, 1, 2, 3, 4, 6], "g": [1, 1, 2, 2, 3, 3]}
        ).to_csv(table)
        for formula in (
            "y ~ poly(x, 2) + (1 | g)",
            "log(y) ~ bs(x, df=3) + (1 | g)",
            "y ~ cr(x, df=3) + offset(x) + (1 | g)",
        ):
            main(["fit", formula, str(table), "--anova"])
        mf.lm("y ~ np.log(x + 1) + C(g, contr.sum)", pd.read_csv(table)).coef_table()


@contextlib.contextmanager
def nothing_happens() -> Iterator[None]:
    """Inside, starting a process, opening a connection or writing a file raises SideEffectError."""
    global _watching
    _ready()
    if not getattr(sys, "_mixedfast_watched", False):
        sys._mixedfast_watched = True  # type: ignore[attr-defined]  # a hook stays for the life of the process
        sys.addaudithook(_watch)
    _watching = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _watching = False


def fuzz(one_input: Callable[[bytes], None], modules: Sequence[str] = ()) -> None:
    """Look for inputs that break a target.

    The arguments of the program are libFuzzer's; `modules` are the Python modules to watch.
    """
    import atheris

    if modules:
        with atheris.instrument_imports(include=list(modules)):
            _ready()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
