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

from mixedfast._scipy_blas import scipy_blas

with scipy_blas():
    from mixedfast.engines import _blocked_cholesky, _border, _selinv

__all__ = ["_blocked_cholesky", "_border", "_selinv"]
