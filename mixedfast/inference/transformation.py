"""Transformations of the response: name, inverse and derivative.

Means of a model of ``log(y)`` can be shown on the scale of y, and so can those of a generalized
model with a link function. Both are a `Transformation`: eta = f(y), with the inverse y = h(eta) and
its derivative, by which standard errors follow (the delta method), and for logarithms and logits
the meaning of a back-transformed difference: a ratio, or an odds ratio.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mixedfast.formula.expressions import expression_tree
from mixedfast.formula.parser import plain_name

__all__ = ["Transformation", "of_link", "of_response"]

_Function: TypeAlias = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Transformation:
    """A transformation eta = f(y).

    Parameters
    ----------
    name : str
        As it is shown: ``"log(y)"``, ``"logit"``.
    inverse : callable or None
        eta -> y, elementwise; None when it is not known.
    derivative : callable or None
        eta -> dy / d eta, elementwise.
    difference : str
        What the exponential of a difference of two eta is: ``"ratio"``, ``"odds_ratio"``; empty
        when it has no such meaning.
    base : float
        Of the logarithm, where `difference` is not empty.

    Examples
    --------
    >>> log = of_response("log(y)")
    >>> log.name, log.difference, float(log.inverse(np.array(0.0)))
    ('log(y)', 'ratio', 1.0)
    """

    name: str
    inverse: _Function | None
    derivative: _Function | None
    difference: str = ""
    base: float = float(np.e)


#: Function -> its inverse, and the derivative of the inverse.
_INVERSES: dict[str, tuple[_Function, _Function]] = {
    "log": (np.exp, np.exp),
    "log2": (np.exp2, lambda e: np.log(2.0) * np.exp2(e)),
    "log10": (lambda e: 10.0**e, lambda e: np.log(10.0) * 10.0**e),
    "log1p": (np.expm1, np.exp),
    "exp": (np.log, lambda e: 1.0 / e),
    "expm1": (np.log1p, lambda e: 1.0 / (1.0 + e)),
    "sqrt": (np.square, lambda e: 2.0 * e),
    "cbrt": (lambda e: e**3, lambda e: 3.0 * e**2),
    "square": (np.sqrt, lambda e: 0.5 / np.sqrt(e)),
    "arcsin": (np.sin, np.cos),
    "arcsinh": (np.sinh, np.cosh),
    "arctanh": (np.tanh, lambda e: 1.0 / np.cosh(e) ** 2),
    "I": (lambda e: e, np.ones_like),
}
_BASES = {"log": float(np.e), "log2": 2.0, "log10": 10.0}


def of_response(expr: str) -> Transformation | None:
    """Return the transformation of a response; None for a column without one.

    Powers and square roots are inverted for positive values.

    Parameters
    ----------
    expr : str
        The left side of a formula.
    """
    if plain_name(expr) is not None:
        return None
    tree, _ = expression_tree(expr)
    inverse = _inverse(tree)
    if inverse is None:
        return Transformation(expr, None, None)
    base = _BASES.get(_called(tree), 0.0)
    is_ratio = bool(base) and isinstance(tree, ast.Call) and _is_multiple(tree.args[0])
    return _OfResponse(expr, *inverse, *(("ratio", base) if is_ratio else ()))


class _OfResponse(Transformation):
    """The transformation of a response, which is pickled as its expression."""

    def __reduce__(self) -> tuple[Any, ...]:
        return of_response, (self.name,)


def of_link(
    link: str, inverse: _Function, derivative: _Function, counts: bool = False
) -> Transformation:
    """Return the transformation of a generalized model from its link.

    Parameters
    ----------
    link : str
        Its name. Differences on the scale of "logit" are odds ratios, of "log" ratios.
    inverse, derivative : callable
        eta -> mean, and its derivative.
    counts : bool
        Whether the response is a count; ratios are then rate ratios.

    Examples
    --------
    >>> of_link("log", np.exp, np.exp, counts=True).difference
    'rate_ratio'
    """
    differences = {"logit": "odds_ratio", "log": "rate_ratio" if counts else "ratio"}
    return Transformation(link, inverse, derivative, differences.get(link, ""))


def _called(node: ast.expr) -> str:
    """Return the name of the function that is called, also of ``np.log``."""
    if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _is_multiple(node: ast.expr) -> bool:
    """Check whether an expression is a column times a constant."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        if _constant(node.right) is not None:
            return _is_multiple(node.left)
        return isinstance(node.op, ast.Mult) and _is_multiple(node.right)
    return isinstance(node, ast.Name)


def _constant(node: ast.expr) -> float | None:
    """Return the value of a number with or without a sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    return None


def _inverse(node: ast.expr) -> tuple[_Function, _Function] | None:
    """Return the column as a function of the value of an expression, and its derivative."""
    if isinstance(node, ast.Name):
        return _INVERSES["I"]
    if isinstance(node, ast.Call) and (step := _INVERSES.get(_called(node))) is not None:
        return _chained(step, node.args[0])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _chained((np.negative, lambda e: -np.ones_like(e)), node.operand)
    if isinstance(node, ast.BinOp):
        right, left = _constant(node.right), _constant(node.left)
        if right is not None and (step := _of_right(node.op, right)) is not None:
            return _chained(step, node.left)
        if left is not None and (step := _of_left(node.op, left)) is not None:
            return _chained(step, node.right)
    return None


def _chained(
    outer: tuple[_Function, _Function], inside: ast.expr
) -> tuple[_Function, _Function] | None:
    """Invert the inner expression after the outer step."""
    inner = _inverse(inside)
    if inner is None:
        return None
    h, dh = inner
    g, dg = outer
    return (lambda e: h(g(e))), (lambda e: dh(g(e)) * dg(e))


def _of_right(op: ast.operator, c: float) -> tuple[_Function, _Function] | None:
    """Invert ``x op c``."""
    if isinstance(op, ast.Add):
        return (lambda e: e - c), np.ones_like
    if isinstance(op, ast.Sub):
        return (lambda e: e + c), np.ones_like
    if isinstance(op, ast.Mult) and c:
        return (lambda e: e / c), (lambda e: np.full_like(e, 1.0 / c))
    if isinstance(op, ast.Div) and c:
        return (lambda e: e * c), (lambda e: np.full_like(e, c))
    if isinstance(op, ast.Pow) and c:
        return (lambda e: e ** (1.0 / c)), (lambda e: e ** (1.0 / c - 1.0) / c)
    return None


def _of_left(op: ast.operator, c: float) -> tuple[_Function, _Function] | None:
    """Invert ``c op x``."""
    if isinstance(op, ast.Add):
        return (lambda e: e - c), np.ones_like
    if isinstance(op, ast.Sub):
        return (lambda e: c - e), (lambda e: -np.ones_like(e))
    if isinstance(op, ast.Mult) and c:
        return (lambda e: e / c), (lambda e: np.full_like(e, 1.0 / c))
    if isinstance(op, ast.Div) and c:
        return (lambda e: c / e), (lambda e: -c / e**2)
    return None
