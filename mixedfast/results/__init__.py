"""`LMMResult`: a fitted model in the user's words, one module for each kind of question asked of it."""

from mixedfast.results.lmm import LMMResult

__all__ = ["LMMResult"]
