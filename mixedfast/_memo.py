"""Values that are computed at their first use: attributes of packages, and of objects.

`lazy_attributes` keeps the import of a package quick. `cached_property` is that of functools
without the lock it has before Python 3.12. `of_object` keeps a value for as long as an object of
another library lives.

Before Python 3.12 `functools.cached_property` holds one lock for all objects of a class while it
computes a value: fits in different threads wait for each other, and a child process that is forked
while another thread holds the lock waits forever. Without the lock two threads may compute the same
value twice.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["cached_property", "lazy_attributes", "of_object"]

Value = TypeVar("Value")

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


def of_object(make: Callable[[Any], Value]) -> Callable[[Any], Value]:
    """Keep what a function makes of an object for as long as the object lives.

    For objects that never change, such as a pandas index; they need not be hashable.
    """
    known: dict[int, tuple[weakref.ref[Any], Value]] = {}

    @functools.wraps(make)
    def kept(source: Any) -> Value:
        key = id(source)
        found = known.get(key)
        if found is not None and found[0]() is source:
            return found[1]
        value = make(source)

        def forget(gone: weakref.ref[Any]) -> None:
            if (now := known.get(key)) is not None and now[0] is gone:
                known.pop(key, None)

        known[key] = weakref.ref(source, forget), value
        return value

    return kept


def lazy_attributes(
    package: str, modules: Mapping[str, str], hints: Callable[[str], str] = lambda name: ""
) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package.

    Parameters
    ----------
    package : str
    modules : mapping
        Name -> the module that defines it.
    hints : callable
        Gives what the error for an unknown name adds.
    """

    def fetch(name: str) -> Any:
        module = sys.modules[package]
        if name not in modules:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}{hints(name)}", name=name, obj=module
            )
        value = getattr(import_module(modules[name]), name)
        setattr(module, name, value)
        return value

    return fetch
