"""A lock that an interrupt cannot leave locked."""


def holding(lock, work):
    """Return ``work()``, called with the lock held.

    From Python 3.14 on an exception from outside (an interrupt) may arrive between the two steps of
    ``with lock``: the lock is then taken and never released. Compiled code has no such gap, because
    interrupts are looked for between steps of the interpreter only.
    """
    lock.acquire()
    try:
        return work()
    finally:
        lock.release()
