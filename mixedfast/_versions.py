"""Versions of mixedfast and of the libraries it uses, for bug reports."""

from __future__ import annotations

import importlib
import importlib.util
import platform
from types import ModuleType
from typing import Any

__all__ = ["__version__", "show_versions", "versions"]

__version__ = "0.1.0"

_LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "formulaic",
    "narwhals",
    "polars",
    "pyarrow",
    "matplotlib",
)

_NOT_INSTALLED = "not installed"


def versions() -> dict[str, str]:
    """Return the versions of mixedfast and of the libraries it uses.

    Returns
    -------
    dict
        Keys in a fixed order: mixedfast, Python, platform, libraries, BLAS, CHOLMOD, settings of
        the build, and the number of processors that this process may use.

    Examples
    --------
    >>> list(versions())[:3]
    ['mixedfast', 'python', 'platform']
    """
    from mixedfast._validation import available_cores

    return {
        "mixedfast": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _installed(name) for name in _LIBRARIES},
        "blas (numpy)": _blas("numpy"),
        "blas (scipy)": _blas("scipy"),
        "cholmod": _cholmod(),
        **_build(),
        "processors": str(available_cores()),
    }


def show_versions() -> None:
    """Print `versions`, one per line.

    Examples
    --------
    >>> show_versions()  # doctest: +ELLIPSIS
    mixedfast ...
    """
    found = versions()
    width = max(map(len, found))
    for name, value in found.items():
        print(f"{name:{width}}  {value}")


def _installed(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return _NOT_INSTALLED


def _blas(library: str) -> str:
    """Return name and version of the BLAS that a library was built with."""
    config: Any = importlib.import_module(library).show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def _cholmod() -> str:
    module = _own_module("engines._cholmod")
    return "not built" if module is None else module.version()


def _build() -> dict[str, str]:
    """Return the settings that the build recorded."""
    module = _own_module("_buildinfo")
    facts = vars(module) if module is not None else {}
    shown = {
        name: value for name, value in facts.items() if isinstance(value, str | int | tuple | list)
    }
    return {
        f"build {name.lower()}": _words(value)
        for name, value in shown.items()
        if not name.startswith("_")
    }


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _own_module(name: str) -> ModuleType | None:
    """Import a module that the build makes; None when this build did not make it."""
    full_name = f"mixedfast.{name}"
    return (
        None if importlib.util.find_spec(full_name) is None else importlib.import_module(full_name)
    )
