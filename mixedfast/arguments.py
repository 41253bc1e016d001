"""What arguments of methods may be: one small check a kind, one wording for all methods."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from mixedfast.errors import ArgumentError

__all__ = ["check_choice", "check_count", "check_level", "check_seed"]


def check_level(level: Any) -> None:
    """Raise ArgumentError unless a confidence level is a number between 0 and 1."""
    share = float(level) if isinstance(level, Real) and not isinstance(level, bool) else float("nan")
    if not 0.0 < share < 1.0:
        hint = f" (for {level}% write {share / 100:g})" if 1.0 < share < 100.0 else ""
        raise ArgumentError(f"level={level!r}: a number between 0 and 1{hint}")


def check_choice(name: str, value: Any, known: Sequence[Any]) -> None:
    """Raise ArgumentError, with the choices, unless a value is one of them."""
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in known):
        raise ArgumentError(f"{name}={value!r}: one of {', '.join(map(repr, known))}")


def check_count(name: str, value: Any) -> int:
    """A whole number from 1; raise ArgumentError for anything else."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{name}={value!r}: a whole number from 1")
    return int(value)


def check_seed(seed: Any) -> None:
    """Raise ArgumentError unless a seed is None or a whole number from 0."""
    if seed is not None and (not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0):
        raise ArgumentError(f"seed={seed!r}: a whole number from 0, or None")
