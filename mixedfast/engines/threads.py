"""Threads of ours instead of the BLAS library's: dense steps cut into parts, each on one BLAS thread.

A BLAS library that starts its own threads waits for them in a loop. When another program has the core, every call waits: two
BLAS threads on a busy machine ran ten times slower than one (benchmarks/NOTES.md). Ours sleep until they are called, and a step
cut in two parts loses nothing to them on a quiet one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

from mixedfast._locks import holding
from mixedfast._validation import available_cores

__all__ = ["Workers", "controller", "on_one_blas_thread", "one_blas_thread"]

Taken = ParamSpec("Taken")
Given = TypeVar("Given")


@cache
def controller() -> ThreadpoolController:
    """The BLAS libraries that NumPy, SciPy and CHOLMOD have brought; to find them takes ten milliseconds, once.

    Libraries that others load later are none of ours to set.
    """
    if find_spec("mixedfast.engines._cholmod") is not None:
        import_module("mixedfast.engines._cholmod")
    return ThreadpoolController()


@cache
def _blas() -> tuple[Any, ...]:
    return tuple(controller().select(user_api="blas").lib_controllers)


def _set(library: Any, count: int) -> None:
    """Set the threads of a BLAS library, from whatever thread.

    From 3.8 on threadpoolctl lets one thread alone set OpenBLAS, the first that did, and passes over all others in silence.
    Ours take turns under a lock, so whoever comes takes that right and leaves it free.
    """
    free = getattr(library, "clear_controlling_thread", lambda force: None)
    free(force=True)
    library.set_num_threads(count)
    free(force=True)


class _Stay:
    """One stay inside `one_blas_thread`, held by the frame of who is inside."""

    __slots__ = ("__weakref__",)


class _Setting:
    """The BLAS setting of the process, and who is inside.

    Stays are counted by weak references. An interrupt may come between any two steps of Python, those of ``with`` included; a
    stay that never came to its end still ends with its frame.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a stay may be collected while this thread has the lock
        self.stays: dict[int, tuple[weakref.ref[_Stay], int]] = {}
        self.before: list[tuple[Any, int]] | None = None

    def has_me(self) -> bool:
        """Whether this thread is inside already."""
        me = threading.get_ident()
        return any(thread == me for _, thread in list(self.stays.values()))

    def enter(self, stay: _Stay) -> None:
        holding(self.lock, lambda: self._enter(stay))

    def leave(self, key: int) -> None:
        """Once or more for each stay; what was there comes back before the last is forgotten."""
        holding(self.lock, lambda: self._leave(key))

    def _enter(self, stay: _Stay) -> None:
        key = id(stay)
        self.stays[key] = weakref.ref(stay, lambda _: self.leave(key)), threading.get_ident()
        if self.before is None:
            self.before = [(library, library.num_threads) for library in _blas()]
            self._put(back=False)

    def _leave(self, key: int) -> None:
        if not self.stays.keys() - {key} and self.before is not None:
            self._put(back=True)
            self.before = None
        self.stays.pop(key, None)

    def after_in_child(self) -> None:
        """In a forked child only the thread that forked lives on: nobody else's stay will end there."""
        self.lock = threading.RLock()
        mine = threading.get_ident()
        for key in [key for key, (_, thread) in self.stays.items() if thread != mine]:
            self.leave(key)

    def _put(self, back: bool) -> None:
        for library, count in self.before or ():
            _set(library, count if back else 1)


_setting = _Setting()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _setting.lock.acquire(),
        after_in_parent=lambda: _setting.lock.release(),
        after_in_child=_setting.after_in_child,
    )


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, BLAS works on one thread; the setting that was there comes back when the last of all threads has left.

    The setting belongs to the whole process, so other threads of a program see it too while a fit is on its way. A process
    forked meanwhile begins with the setting that was there, unless the fork came from inside.
    """
    stay = _Stay()
    try:
        _setting.enter(stay)
        yield
    finally:
        _setting.leave(id(stay))


def on_one_blas_thread(work: Callable[Taken, Given]) -> Callable[Taken, Given]:
    """A function that works inside `one_blas_thread`: its caller's stay where there is one, for that outlasts the call."""

    @wraps(work)
    def inside(*args: Taken.args, **kwargs: Taken.kwargs) -> Given:
        if _setting.has_me():
            return work(*args, **kwargs)
        with one_blas_thread():
            return work(*args, **kwargs)

    return inside


class Workers:
    """A few threads that share the parts of a step.

    Parameters
    ----------
    count : int, optional
        How many, the calling thread included; default: the cores this process may use.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or available_cores()
        self._pool: ThreadPoolExecutor | None = None
        self._process = -1  # no thread before the first step

    def _threads(self) -> ThreadPoolExecutor | None:
        """The other threads; a forked child has none of its parent's, and starts its own."""
        if self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.count - 1) if self.count > 1 else None
            self._process = os.getpid()
        return self._pool

    def share(self, work: Callable[[int, int], Any], edges: Sequence[int]) -> None:
        """``work(first, last)`` for each two neighbouring edges, the first of them here and the others on the threads."""
        parts = [(first, last) for first, last in pairwise(edges) if first < last]
        pool = self._threads()
        if pool is None or len(parts) < 2:
            for part in parts:
                work(*part)
            return
        others = [pool.submit(work, *part) for part in parts[1:]]
        try:
            work(*parts[0])
        finally:  # nobody may write to the matrix after this call has ended, not even when it ends by an error
            for other in others:
                other.result()
