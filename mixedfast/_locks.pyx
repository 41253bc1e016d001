"""Work under a lock that an interrupt cannot leave locked."""


def holding(lock, work):
    """What ``work()`` gives, with the lock held.

    From Python 3.14 on an exception from outside (an interrupt) may come between the two steps of ``with lock``: it is taken, and
    nobody will give it back. Compiled code has no such gap, for interrupts are only looked for in Python's own steps.
    """
    lock.acquire()
    try:
        return work()
    finally:
        lock.release()
