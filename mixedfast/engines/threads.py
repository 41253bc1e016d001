"""Threads for dense linear algebra, each with BLAS on one thread.

The threads that a BLAS library starts wait for each other in a loop. When another program has the
core, every call waits: two BLAS threads on a busy machine ran ten times slower than one
(benchmarks/NOTES.md). The threads here sleep until a step has work for them, and are as fast as
those of BLAS on a quiet machine.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial, wraps
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from mixedfast._locks import holding
from mixedfast._validation import available_cores

if TYPE_CHECKING:
    from mixedfast.crossprod.types import CrossProducts

__all__ = [
    "Workers",
    "controller",
    "is_small",
    "on_one_blas_thread",
    "on_one_blas_thread_unless",
    "one_blas_thread",
]

#: OpenBLAS starts threads for products of matrices above an order of 64, and for a product with a
#: vector above 9,216 numbers. Models of less order and of fewer numbers need no guard.
_SMALL_ORDER, _SMALL_NUMBERS = 48, 9000

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


#: Address space of a thread: its stack of 8 MiB, and a buffer of OpenBLAS of 32 or 64 MiB.
_THREAD_ROOM = 80 << 20


@cache
def controller() -> ThreadpoolController:
    """Find the BLAS libraries of NumPy, SciPy and CHOLMOD, once; it takes ten milliseconds.

    Libraries that are loaded later are left alone.
    """
    if find_spec("mixedfast.engines._cholmod") is not None:
        import_module("mixedfast.engines._cholmod")
    return ThreadpoolController()


@cache
def _blas() -> tuple[Any, ...]:
    """Return the controllers of the BLAS libraries."""
    return tuple(controller().select(user_api="blas").lib_controllers)


def _set(library: Any, count: int) -> None:
    """Set the number of threads of a BLAS library, from any thread.

    From version 3.8 threadpoolctl lets only the first thread that sets OpenBLAS set it again, and
    ignores other threads without a message. Calls here take turns under a lock, so each takes that
    right and releases it.
    """
    free = getattr(library, "clear_controlling_thread", lambda force: None)
    free(force=True)
    library.set_num_threads(count)
    free(force=True)


class _Use:
    """One use of `one_blas_thread`, referenced by the frame that it runs in."""

    __slots__ = ("__weakref__",)


class _Setting:
    """The BLAS setting of the process, and the uses of `one_blas_thread` that need it now.

    Uses are counted by weak references. An interrupt can come between any two steps of Python, also
    those of ``with``; a use that was not closed then ends with its frame.
    """

    def __init__(self) -> None:
        # reentrant: a use may be collected while this thread has the lock
        self.lock = threading.RLock()
        self.uses: dict[int, tuple[weakref.ref[_Use], int]] = {}
        self.before: list[tuple[Any, int]] | None = None
        #: uses that are too small for the setting
        self.small: dict[int, tuple[weakref.ref[_Use], int]] = {}

    def is_used_here(self) -> bool:
        """Return whether this thread has a use already."""
        if not self.uses and not self.small:
            return False
        me = threading.get_ident()
        return any(thread == me for _, thread in [*self.uses.values(), *self.small.values()])

    def pass_by(self, use: _Use) -> None:
        """Begin a use that needs no setting; it ends with the last reference to it."""
        key = id(use)
        ended = partial(self.small.pop, key, None)
        self.small[key] = weakref.ref(use, lambda _: ended()), threading.get_ident()

    def enter(self, use: _Use) -> None:
        """Begin a use; the first sets BLAS to one thread."""
        holding(self.lock, lambda: self._enter(use))

    def leave(self, key: int) -> None:
        """End a use; the last restores the setting. More calls for the same use do nothing."""
        holding(self.lock, lambda: self._leave(key))

    def _enter(self, use: _Use) -> None:
        key = id(use)
        self.uses[key] = weakref.ref(use, lambda _: self.leave(key)), threading.get_ident()
        if self.before is None:
            self.before = [(library, library.num_threads) for library in _blas()]
            self._apply(restore=False)

    def _leave(self, key: int) -> None:
        if not self.uses.keys() - {key} and self.before is not None:
            self._apply(restore=True)
            self.before = None
        self.uses.pop(key, None)

    def after_in_child(self) -> None:
        """End the uses of other threads in a forked child.

        Only the thread that forked lives on there.
        """
        self.lock = threading.RLock()
        mine = threading.get_ident()
        self.small = {key: use for key, use in self.small.items() if use[1] == mine}
        for key in [key for key, (_, thread) in self.uses.items() if thread != mine]:
            self.leave(key)

    def _apply(self, restore: bool) -> None:
        """Set all BLAS libraries to one thread, or to their setting before."""
        for library, count in self.before or ():
            _set(library, count if restore else 1)


_setting = _Setting()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _setting.lock.acquire(),
        after_in_parent=lambda: _setting.lock.release(),
        after_in_child=_setting.after_in_child,
    )


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run BLAS on one thread inside; restore the setting when the last thread has left.

    The setting belongs to the whole process, so other threads have it too during a fit. A process
    that is forked meanwhile begins with the restored setting, unless the fork happened inside.
    """
    use = _Use()
    try:
        _setting.enter(use)
        yield
    finally:
        _setting.leave(id(use))


def on_one_blas_thread(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Wrap a function in `one_blas_thread`, unless the thread that calls it is inside already."""
    return on_one_blas_thread_unless(lambda *args, **kwargs: False)(work)


def on_one_blas_thread_unless(
    is_small: Callable[..., bool],
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Wrap a function in `one_blas_thread` unless its work is small.

    Matrices of small work are such that no BLAS starts threads for them, and the setting would take
    longer than the work. Functions that are wrapped and called inside leave the setting alone too.

    Parameters
    ----------
    is_small : callable
        Takes the arguments of the function.
    """

    def wrap(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(work)
        def inside(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            if _setting.is_used_here():
                return work(*args, **kwargs)
            if is_small(*args, **kwargs):
                use = _Use()  # ends with this frame
                _setting.pass_by(use)
                return work(*args, **kwargs)
            with one_blas_thread():
                return work(*args, **kwargs)

        return inside

    return wrap


def is_small(cp: CrossProducts) -> bool:
    """Return whether BLAS would start no threads for the matrices of a model."""
    lead, *rest = [group.n_levels * group.k for group in cp.groups] or [0]
    columns = 1 + cp.p + sum(group.k for group in cp.groups)
    return sum(rest) + columns <= _SMALL_ORDER and (lead + sum(rest)) * columns <= _SMALL_NUMBERS


def require_room(threads: int) -> None:
    """Raise MemoryError where the address space ends before the buffers of new threads.

    At the end of memory OpenBLAS asks again and again for the buffer of a thread, and libgomp ends
    the process.

    Parameters
    ----------
    threads : int
        Threads to be started, each with a stack and a buffer of BLAS.
    """
    try:
        np.empty(threads * _THREAD_ROOM, dtype=np.uint8)  # touches no page
    except MemoryError as error:
        size = threads * _THREAD_ROOM >> 20
        raise MemoryError(
            f"not enough memory to start {threads} thread{'s' if threads > 1 else ''} for dense "
            f"algebra, which need {size} MiB: raise the limit of the process (ulimit -v), or fit "
            "with threads=1 on fewer cores (taskset)"
        ) from error


class Workers:
    """A few threads that share the parts of a step.

    Parameters
    ----------
    count : int, optional
        Number of threads, the calling one included; default: the cores this process may use.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or available_cores()
        self._pool: ThreadPoolExecutor | None = None
        self._process = -1  # no thread before the first step

    def _threads(self) -> ThreadPoolExecutor | None:
        """Return the other threads.

        A forked child has no threads of its parent and starts its own.
        """
        if self._process != os.getpid():
            if self.count > 1:
                require_room(self.count - 1)
            self._pool = ThreadPoolExecutor(self.count - 1) if self.count > 1 else None
            self._process = os.getpid()
        return self._pool

    def share(self, work: Callable[[int, int], Any], edges: Sequence[int]) -> None:
        """Call ``work(first, last)`` for each two neighbouring edges.

        The first part runs on the calling thread, the others on the other threads.
        """
        parts = [(first, last) for first, last in pairwise(edges) if first < last]
        pool = self._threads()
        if pool is None or len(parts) < 2:
            for part in parts:
                work(*part)
            return
        others = [pool.submit(work, *part) for part in parts[1:]]
        try:
            work(*parts[0])
        finally:  # no thread may write to the matrix after this call, also when it raises an error
            for other in others:
                other.result()

    def share_evenly(self, work: Callable[[int, int], Any], costs: np.ndarray) -> None:
        """Call ``work(first, last)`` for parts of items that cost the same in sum.

        Parameters
        ----------
        work : callable
        costs : (n,) array
            Relative cost of each item.
        """
        total = np.cumsum(costs)
        aims = total[-1] * np.arange(1, self.count) / self.count if len(total) else []
        self.share(work, [0, *np.searchsorted(total, aims).tolist(), len(costs)])
