"""Methods of one engine that take turns.

A fitted model keeps its engine, and several threads may use the model at the same time. Engines
invert and solve in place, so two calls must not overlap.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from mixedfast._locks import holding

__all__ = ["Turns", "in_turn"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Turns:
    """A lock that belongs to one object and one process.

    A child process that is forked while a thread of its parent has the lock starts with its own.
    """

    def __init__(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()

    def take(self, work: Callable[[], Result]) -> Result:
        """Return ``work()``, called while no other thread is inside."""
        if self._process != os.getpid():
            self._lock, self._process = threading.RLock(), os.getpid()
        result: Result = holding(self._lock, work)
        return result


class _HasTurns(Protocol):
    @property
    def turns(self) -> Turns | None: ...


Owner = TypeVar("Owner", bound=_HasTurns)


def in_turn(
    method: Callable[Concatenate[Owner, Arguments], Result],
) -> Callable[Concatenate[Owner, Arguments], Result]:
    """Wrap a method so that calls from several threads follow one another.

    The object has `turns`; None where its methods change nothing that others read.
    """

    def inside(self: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if self.turns is None:
            return method(self, *args, **kwargs)
        return self.turns.take(lambda: method(self, *args, **kwargs))

    update_wrapper(inside, method)
    return inside
