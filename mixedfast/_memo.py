"""`cached_property` without the lock that it has before Python 3.12.

Before Python 3.12 `functools.cached_property` holds one lock for all objects of a class while it
computes a value: fits in different threads wait for each other, and a child process that is forked
while another thread holds the lock waits forever. Without the lock two threads may compute the same
value twice.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

__all__ = ["cached_property"]

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property
else:

    class cached_property(functools.cached_property):
        """`functools.cached_property` without its lock."""

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            made = instance.__dict__[self.attrname] = self.func(instance)
            return made
