"""The BLAS and LAPACK of SciPy for compiled modules, without the import of `scipy.linalg`.

Compiled modules need two compiled modules of SciPy; the package around them takes as long to import
as the rest of a first fit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

__all__ = ["scipy_blas"]

_PACKAGE = "scipy.linalg"
_MODULES = ("cython_blas", "cython_lapack")


@contextmanager
def scipy_blas() -> Iterator[None]:
    """Let compiled modules that are imported inside find the BLAS and LAPACK of SciPy.

    Afterwards both modules are forgotten: a later import of ``scipy.linalg`` makes them, the same
    ones, as attributes of that package. Where SciPy keeps them elsewhere, it is imported as usual.
    """
    added = [] if _PACKAGE in sys.modules else list(_load())
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


def _load() -> Iterator[str]:
    """Load both modules from their files; yield their names."""
    import scipy

    folder = str(Path(scipy.__file__).parent / "linalg")
    for module in _MODULES:
        name = f"{_PACKAGE}.{module}"
        spec = PathFinder.find_spec(name, [folder])
        if spec is not None and spec.loader is not None:
            sys.modules[name] = made = module_from_spec(spec)
            spec.loader.exec_module(made)
            yield name
