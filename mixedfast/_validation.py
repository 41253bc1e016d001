"""Checks of arguments: one function and one message for each kind of argument."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mixedfast.errors import ArgumentError

__all__ = [
    "available_cores",
    "check_choice",
    "check_count",
    "check_flag",
    "check_kind",
    "check_level",
    "check_names",
    "check_path",
    "check_room",
    "check_seed",
    "check_threads",
    "did_you_mean",
    "memory",
]


#: Names longer than this are compared with no others: that takes their length squared.
_LONGEST_NAME = 1000


def did_you_mean(name: Any, known: Sequence[str], cutoff: float = 0.6, most: int = 3) -> str:
    """Return ``did you mean 'x'?`` for names of similar spelling, or with the initials `name`.

    Empty when there is none. Upper and lower case are the same.

    Examples
    --------
    >>> did_you_mean("day", ["Reaction", "Days"]), did_you_mean("kr", ["kenward-roger", "residual"])
    ("did you mean 'Days'?", "did you mean 'kenward-roger'?")
    """
    given = str(name).strip().lower()
    if len(given) > _LONGEST_NAME:
        return ""
    low = {unicodedata.normalize("NFC", one).lower(): one for one in reversed(known)}
    close = [low[hit] for hit in difflib.get_close_matches(given, low, n=most, cutoff=cutoff)]
    close = close or [one for one in known if _initials(one) == given and len(given) > 1]
    # the same characters in another Unicode form look alike: such a name is shown by its codes
    shown = [
        ascii(one) if unicodedata.normalize("NFC", one) == name else repr(one) for one in close
    ]
    return f"did you mean {' or '.join(shown)}?" if shown else ""


def _initials(name: str) -> str:
    return "".join(word[0] for word in re.split(r"[^a-z0-9]+", name.lower()) if word)


def check_level(level: Any, name: str = "level") -> None:
    """Raise ArgumentError unless a confidence level is a number between 0 and 1."""
    share = (
        float(level) if isinstance(level, Real) and not isinstance(level, bool) else float("nan")
    )
    if not 0.0 < share < 1.0:
        hint = f" (for {level}% write {share / 100:g})" if 1.0 < share < 100.0 else ""
        raise ArgumentError(f"{name}={level!r}: a number between 0 and 1{hint}")


def check_flag(name: str, value: Any) -> None:
    """Raise ArgumentError unless a switch is True or False: ``"no"`` would count as True."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(f"{name}={value!r}: True or False")


def check_kind(name: str, value: Any, kind: type, said: str) -> None:
    """Raise ArgumentError unless a value is of a type, described in words by `said`."""
    if not isinstance(value, kind):
        raise ArgumentError(f"{name}={value!r}: {said}")


def check_names(name: str, value: Any) -> tuple[str, ...]:
    """Return one or several names as a tuple; raise ArgumentError for anything else."""
    if isinstance(value, str):
        return (value,)
    listed = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(one, str) for one in listed):
        raise ArgumentError(f"{name}={value!r}: a name, or a list of names")
    return listed


def check_path(what: str, path: Any) -> Path:
    """Return the path of a file; raise ArgumentError for anything else."""
    if not isinstance(path, (str, PathLike)) or not str(path):
        raise ArgumentError(f"{what} takes the path of a file, not {path!r}")
    return Path(path)


def check_choice(name: str, value: Any, known: Sequence[Any]) -> None:
    """Raise ArgumentError, with the choices, unless a value is one of them."""
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in known):
        hint = (
            did_you_mean(value, [choice for choice in known if isinstance(choice, str)])
            if isinstance(value, str)
            else ""
        )
        raise ArgumentError(
            f"{name}={value!r}: {f'{hint} It is ' if hint else ''}one of "
            f"{', '.join(map(repr, known))}"
        )


def check_count(name: str, value: Any) -> int:
    """Return a whole number from 1; raise ArgumentError for anything else."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{name}={value!r}: a whole number from 1")
    return int(value)


def check_seed(seed: Any) -> None:
    """Raise ArgumentError unless a seed is None or a whole number from 0."""
    if seed is not None and (not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0):
        raise ArgumentError(f"seed={seed!r}: a whole number from 0, or None")


def available_cores() -> int:
    """Return the number of cores this process may use, or that of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> float:
    """Return the memory of the machine in bytes; 8 GiB where the system does not report it."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PHYS_PAGES")) * float(os.sysconf("SC_PAGE_SIZE"))
    return 8.0 * 2**30


def check_room(what: str, needed: float) -> None:
    """Raise ArgumentError when a result needs more bytes than the machine has.

    A system that runs out of memory ends the process without a message.
    """
    if needed > memory():
        asked, there = needed / 2**30, memory() / 2**30
        raise ArgumentError(
            f"{what} needs {asked:,.0f} GiB of memory, and this machine has {there:,.0f}: "
            "ask for fewer"
        )


def check_threads(threads: Any) -> int | None:
    """Return a number of threads; None leaves it to the method."""
    return None if threads is None else check_count("threads", threads)
