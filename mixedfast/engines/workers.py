"""Threads of ours instead of the BLAS library's: dense steps cut into parts, each on one BLAS thread.

A BLAS library that starts its own threads waits for them in a loop. When another program has the core, every call waits: two
BLAS threads on a busy machine ran ten times slower than one (benchmarks/NOTES.md). Ours sleep until they are called, and a step
cut in two parts loses nothing to them on a quiet one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["Workers", "controller", "one_blas_thread"]

_lock = threading.Lock()
_owner: int | None = None


@cache
def controller() -> ThreadpoolController:
    """The BLAS libraries that NumPy and SciPy have brought; to find them takes ten milliseconds, once.

    Libraries that others load later are none of ours to set.
    """
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, BLAS works on one thread; the setting that was there comes back at the end.

    The setting belongs to the whole process, and threadpoolctl lets one thread at a time change it. So the thread that comes
    first sets it and sets it back; others that come meanwhile find it set, and may outlast it.
    """
    global _owner
    with _lock:
        mine = _owner is None
        if mine:
            _owner = threading.get_ident()
    if not mine:
        yield
        return
    try:
        with controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        _owner = None


def _forked() -> None:
    """In a forked child nobody else is inside: the one thread that lives on is the one that forked."""
    global _lock, _owner
    _lock = threading.Lock()
    if _owner != threading.get_ident():
        _owner = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Workers:
    """A few threads that share the parts of a step.

    Parameters
    ----------
    count : int, optional
        How many, the calling thread included; default: the cores this process may use.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or available_cores()
        self._process = -1
        self._pool: ThreadPoolExecutor | None = None

    def _threads(self) -> ThreadPoolExecutor | None:
        """The other threads, if any; a forked child has none of its parent's and starts its own."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._pool = ThreadPoolExecutor(self.count - 1) if self.count > 1 else None
        return self._pool

    def share(self, work: Callable[[int, int], Any], edges: Sequence[int]) -> None:
        """``work(first, last)`` for each two neighbouring edges, the first of them here and the others on the threads."""
        parts = [(first, last) for first, last in pairwise(edges) if first < last]
        pool = self._threads() if len(parts) > 1 else None
        if pool is None:
            for part in parts:
                work(*part)
            return
        others = [pool.submit(work, *part) for part in parts[1:]]
        try:
            work(*parts[0])
        finally:  # nobody may write to the matrix after this call has ended, not even when it ends by an error
            for other in others:
                other.result()


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
