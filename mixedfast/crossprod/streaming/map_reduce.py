"""Work on units in threads: bounded in memory, with results added in the order of the units.

The calling thread takes the next units from the source while workers read and sum those before.
Sums are added in order, so any number of threads gives the same bits.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from mixedfast._progress import Show, bar
from mixedfast._threads import thread_pool
from mixedfast._validation import available_cores
from mixedfast.data.work_units import Source, Unit, joined, together
from mixedfast.errors import DataError, MixedFastError

__all__ = ["reduce_units"]

T = TypeVar("T")


def reduce_units(
    source: Source,
    columns: Sequence[str],
    work: Callable[[Unit], T],
    add: Callable[[T, T], T],
    label: str,
    threads: int | None = None,
    progress: Show = "auto",
    start: T | None = None,
    done: tuple[str, ...] = (),
    after: Callable[[T, tuple[str, ...]], None] | None = None,
) -> T:
    """Do some work on every unit and add up the results.

    Parameters
    ----------
    source : Source
    columns : sequence of str
        The only columns that are read.
    work : callable
        ``work(unit)`` on one unit, in any thread.
    add : callable
        ``add(total, part)``, in the order of the units.
    label, progress
        For the progress bar, which counts rows.
    threads : int, optional
        Default: the cores this process may use.
    start : T, optional
        The total of an earlier run over the units whose marks are in `done`; the source must begin
        with the same units.
    after : callable, optional
        ``after(total, done)`` after each addition.

    Raises
    ------
    MixedFastError
        The first error in the order of the units. All units before it have been added, and no unit
        after it.
    KeyboardInterrupt
        After Ctrl-C. Each unit has been added completely or not at all.
    """
    count = threads or available_cores()
    total, marks = start, list(done)
    waiting: deque[tuple[list[Unit], Future[T]]] = deque()
    with (
        thread_pool(count) as workers,
        bar(source.rows, label, progress, unit=" rows") as advance,
    ):

        def collect() -> None:
            nonlocal total
            units, future = waiting[0]
            part = future.result()
            with _undivided():
                waiting.popleft()
                total = part if total is None else add(total, part)
                marks.extend(unit.mark for unit in units)
                if after is not None:
                    after(total, tuple(marks))
            advance(sum(unit.rows for unit in units))

        try:
            for units in together(_after_done(source.units(columns), done)):
                waiting.append((units, workers.submit(_all_of, units, work)))
                if len(waiting) > count:
                    collect()
            while waiting:
                collect()
        except MixedFastError:
            while waiting and waiting[0][1].exception() is None:  # units before the one at fault
                collect()
            raise
        finally:
            for _, future in waiting:
                future.cancel()
    if total is None:
        raise DataError("the data have no rows")
    return total


@contextmanager
def _undivided() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block.

    Sums are added in place, and half a sum must not be kept.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield  # Python interrupts only the main thread, and not where Ctrl-C is ignored
        return
    pressed: list[Any] = []
    signal.signal(signal.SIGINT, lambda number, at: pressed.append((number, at)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        before(*pressed[0])


def _after_done(units: Iterator[Unit], done: Sequence[str]) -> Iterator[Unit]:
    """Yield the units after those already done, which must be the same again."""
    for mark in done:
        unit = next(units, None)
        if unit is None or unit.mark != mark:
            what = "the data end before that" if unit is None else f"{unit.name} has changed since"
            raise DataError(f"the checkpoint is of other data ({what}): delete it to start again")
    yield from units


def _all_of(units: list[Unit], work: Callable[[Unit], T]) -> T:
    """Do the work on units joined into one; after an error one by one to name the one at fault."""
    try:
        return work(joined(units))
    except MixedFastError:
        for unit in units:
            _named(unit, work)
        raise


def _named(unit: Unit, work: Callable[[Unit], T]) -> None:
    try:
        work(unit)
    except MixedFastError as error:
        if unit.name in str(error):
            raise
        raise type(error)(f"{unit.name}: {error}") from error
