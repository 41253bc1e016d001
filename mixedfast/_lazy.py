"""Names of a package that are imported at their first use, so that its own import stays quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_attributes"]


def lazy_attributes(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package.

    Parameters
    ----------
    package : str
    modules : mapping
        Name -> the module that defines it.
    """

    def fetch(name: str) -> Any:
        module = sys.modules[package]
        if name not in modules:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}", name=name, obj=module
            )
        value = getattr(import_module(modules[name]), name)
        setattr(module, name, value)
        return value

    return fetch
