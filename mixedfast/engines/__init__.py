"""Factorizations of M(theta) = Lambda'Z'WZ Lambda + I: one interface, chosen by structure, recorded in the fit.

``block``     one grouping factor, or the largest eliminated level by level and the rest dense, one dense block for each
              connected component. Nested factors make many small components, crossed ones a single large one.
``cholmod``   any crossing or nesting, as one sparse matrix.
"""

from mixedfast.engines.choose import choose
from mixedfast.engines.interface import Engine, Traces, traces_of

__all__ = ["Engine", "Traces", "choose", "traces_of"]
