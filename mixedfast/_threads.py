"""Threads that are joined whatever happens.

`concurrent.futures.ThreadPoolExecutor` joins the threads it has noted. An interrupt between the
start of a thread and that note leaves a thread which nobody waits for, and which may write to what
the caller then closes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

__all__ = ["thread_pool"]

_number = count()


@contextmanager
def thread_pool(size: int) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads, which have all ended when the block has.

    Work that has not begun is cancelled at the end of the block.

    Parameters
    ----------
    size : int
        Number of threads.

    Raises
    ------
    KeyboardInterrupt
        An interrupt during the wait is raised after the wait.

    Examples
    --------
    >>> with thread_pool(2) as workers:
    ...     list(workers.map(abs, [-1, -2]))
    [1, 2]
    """
    name = f"mixedfast-{next(_number)}-"
    pool = ThreadPoolExecutor(size, thread_name_prefix=name)
    try:
        yield pool
    finally:
        _join(pool, name)


def _join(pool: ThreadPoolExecutor, name: str) -> None:
    """Shut a pool down and join all threads of this name."""
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            pool.shutdown(wait=True, cancel_futures=True)
            for thread in threading.enumerate():
                if thread.name.startswith(name):
                    thread.join()
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
