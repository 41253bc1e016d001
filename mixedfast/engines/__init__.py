"""Factorizations of M(theta) = Lambda'Z'WZ Lambda + I behind one interface.

`mixedfast.engines.choose.choose` chooses the engine by the structure of the model; the fit
records it.

``block``
    One grouping factor, or the largest eliminated level by level and the rest dense, with one block
    for each connected component. Nested factors make many small components, crossed ones a single
    large one.
``cholmod``
    Any crossing or nesting, as one sparse matrix.
"""

from importlib.util import find_spec

from mixedfast._scipy_blas import scipy_blas

with scipy_blas():
    from mixedfast.engines import _blocked_cholesky, _border

    if find_spec("mixedfast.engines._selinv") is not None:  # not in a build without CHOLMOD
        from mixedfast.engines import _selinv  # noqa: F401

__all__ = ["_blocked_cholesky", "_border"]
