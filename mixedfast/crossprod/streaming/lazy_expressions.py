"""Python expressions of a formula as expressions of a lazy frame.

Arithmetic, logarithms, roots, ``scale()`` and ``center()``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import Any

from mixedfast.data.lazy_frames import Expr, LazyFrame, absent_unless, literal
from mixedfast.errors import DataError, FormulaError
from mixedfast.formula.expressions import expression_tree, stateful_calls

__all__ = ["translate"]

_OPERATORS: dict[type[ast.operator], Callable[[Expr, Expr], Expr]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / absent_unless(b != literal(0.0), b),
    ast.Pow: lambda a, b: a**b,
}


def _log(base: float) -> Callable[[Expr], Expr]:
    # engines differ in the logarithm of zero: NULL here, which is found and reported
    return lambda x: absent_unless(x > literal(0.0), x).log() * literal(1.0 / math.log(base))


_FUNCTIONS: dict[str, Callable[[Expr], Expr]] = {
    "I": lambda x: x,
    "abs": lambda x: x.abs(),
    "exp": lambda x: x.exp(),
    "log": lambda x: absent_unless(x > literal(0.0), x).log(),
    "log10": _log(10.0),
    "log2": _log(2.0),
    "sqrt": lambda x: absent_unless(x >= literal(0.0), x).sqrt(),
    "square": lambda x: x * x,
}


def translate(expr: str, frame: LazyFrame, state: Mapping[str, Mapping[str, Any]]) -> Expr:
    """Translate an expression of a formula into one of the engine.

    Parameters
    ----------
    expr : str
    frame : LazyFrame
    state : dict of str to dict
        Means and spreads of ``scale()`` and ``center()``.

    Raises
    ------
    DataError
        For a part that the engine cannot compute; the message shows it.
    """
    tree, names = expression_tree(expr)
    calls = {call.text: call for call in stateful_calls(expr)}

    def refuse(node: ast.AST) -> DataError:
        return DataError(
            f"{ast.unparse(node)} in {expr!r} cannot be computed by {frame.engine}: "
            "add it to the frame as a column and use that column"
        )

    def column(name: str) -> Expr:
        if name not in frame.names:
            raise FormulaError(f"no column {name!r} in the data (in {expr!r})")
        if frame.kind(name) == "text":
            raise DataError(f"column {name!r} holds text where {expr!r} needs numbers")
        return frame.number(name)

    def walk(node: ast.expr) -> Expr:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return literal(float(node.value))
        if isinstance(node, ast.Name):
            return column(names.get(node.id, node.id))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            inner = walk(node.operand)
            return literal(0.0) - inner if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            if isinstance(node.op, ast.Pow):
                return _power(node, walk, refuse)
            return _OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        if isinstance(node, ast.Call):
            return call(node)
        raise refuse(node)

    def call(node: ast.Call) -> Expr:
        name = node.func.id if isinstance(node.func, ast.Name) else _numpy_name(node.func)
        if name == "Q" and node.args and isinstance(node.args[0], ast.Constant):
            return column(str(node.args[0].value))
        known = (
            calls.get(ast.unparse(node))
            if not names
            else next((c for c in calls.values() if c.function == name), None)
        )
        if known is not None and known.text in state:
            return _standardized(walk(node.args[0]), state[known.text])
        if name not in _FUNCTIONS or len(node.args) != 1 or node.keywords:
            raise refuse(node)
        return _FUNCTIONS[name](walk(node.args[0]))

    return walk(tree)


def _power(
    node: ast.BinOp, walk: Callable[[ast.expr], Expr], refuse: Callable[[ast.AST], DataError]
) -> Expr:
    """Compute x ** k for a constant k.

    For small whole numbers by products, which all engines round alike.
    """
    try:
        power = ast.literal_eval(node.right)
    except ValueError as error:
        raise refuse(node) from error
    base = walk(node.left)
    if isinstance(power, int) and 1 <= power <= 8:
        out = base
        for _ in range(power - 1):
            out = out * base
        return out
    if power == 0.5:
        return _FUNCTIONS["sqrt"](base)
    raise refuse(node)


def _numpy_name(function: ast.expr) -> str:
    is_numpy = (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "np"
    )
    return function.attr if is_numpy and isinstance(function, ast.Attribute) else ""


def _standardized(inner: Expr, state: Mapping[str, Any]) -> Expr:
    if state["center"] is not None:
        inner = inner - literal(float(state["center"]))
    return inner if state["scale"] is None else inner / literal(float(state["scale"]))
