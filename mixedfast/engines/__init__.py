"""Factorizations of M(theta) = Lambda'Z'WZ Lambda + I behind one interface.

The engine is chosen by the structure of the model and recorded in the fit.

``block``
    One grouping factor, or the largest eliminated level by level and the rest dense, with one block
    for each connected component. Nested factors make many small components, crossed ones a single
    large one.
``cholmod``
    Any crossing or nesting, as one sparse matrix.
"""

from mixedfast.engines.choose import choose
from mixedfast.engines.interface import Engine, Traces, traces_of

__all__ = ["Engine", "Traces", "choose", "traces_of"]
