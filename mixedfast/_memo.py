"""What is worked out once for an object and kept by it.

Before Python 3.12 `functools.cached_property` holds a lock meanwhile, one for all objects of a class: fits in different
threads wait for each other, and a child that is forked while another thread holds it waits for ever. Here two threads may
work the same out twice instead.
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
        """As that of `functools`, without its lock."""

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            made = instance.__dict__[self.attrname] = self.func(instance)
            return made
