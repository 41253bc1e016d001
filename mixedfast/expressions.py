"""Python expressions inside formulas, as trees: what they call, and whether they are only arithmetic.

A formula is evaluated as Python by formulaic. A formula that comes out of a file, or that an engine is to evaluate, must be
no more than arithmetic on columns; the tree says so before anything is evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mixedfast.errors import DataError, FormulaError

__all__ = ["WHOLE_COLUMN", "Stateful", "expression_tree", "refuse_code", "stateful_calls"]

#: Transforms that look at a whole column before they can say anything of one row.
WHOLE_COLUMN = frozenset(["bs", "cc", "center", "cr", "cs", "lag", "poly", "scale", "standardize"])

_ARITHMETIC = (
    ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.Tuple, ast.List,
    ast.Attribute, ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context,
)  # fmt: skip
#: Functions of NumPy that formulas may name besides its ufuncs: they read arguments and nothing else.
_NUMPY = frozenset(["where", "clip", "pi", "e", "round", "isin", "digitize"])
#: Functions formulaic offers that may stand in a file.
_CALLABLE = WHOLE_COLUMN | {
    "C", "Diff", "Helmert", "I", "Poly", "Q", "Sum", "Treatment", "exp", "exp10", "exp2", "log", "log10", "log2",
    "abs", "ceil", "cos", "expm1", "floor", "log1p", "sin", "sqrt", "tan",
}  # fmt: skip
#: Arguments after the column, of the transforms whose state can be told from a column's statistics.
_POSITIONS = {
    "bs": ("df", "knots", "degree", "include_intercept", "lower_bound", "upper_bound", "extrapolation"),
    "center": (),
    "scale": ("center", "scale", "ddof"),
    "standardize": ("center", "rescale", "ddof"),
}


@dataclass(frozen=True)
class Stateful:
    """One call of a transform that needs statistics of a whole column.

    ``text`` is how formulaic keys its state; ``inside`` the expression it transforms; ``arguments`` the literal keywords.
    """

    text: str
    function: str
    inside: str
    arguments: tuple[tuple[str, Any], ...]


@lru_cache(maxsize=256)
def expression_tree(expr: str) -> tuple[ast.expr, dict[str, str]]:
    """The tree of an expression, and the columns in backticks by the names that stand for them in it.

    Examples
    --------
    >>> tree, names = expression_tree("log(`my var`)")
    >>> ast.unparse(tree), names
    ('log(_quoted0_)', {'_quoted0_': 'my var'})
    """
    quoted: list[str] = []

    def stand_in(found: re.Match[str]) -> str:
        quoted.append(found.group(1))
        return f"_quoted{len(quoted) - 1}_"

    source = re.sub(r"`([^`]+)`", stand_in, expr)
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        raise FormulaError(
            f"cannot read {expr!r}: {error.msg}; it takes a column's name or Python such as log(x)"
        ) from error
    return tree, {f"_quoted{i}_": name for i, name in enumerate(quoted)}


def refuse_code(expr: str) -> None:
    """Raise DataError when an expression is more than arithmetic, transforms and contrasts.

    Examples
    --------
    >>> refuse_code("scale(log(x), ddof=0) + np.sqrt(z)")
    >>> refuse_code("().__class__")
    Traceback (most recent call last):
    mixedfast.errors.DataError: '().__class__' is more than arithmetic on columns: no file of a model may hold it
    """
    tree, _ = expression_tree(expr)
    for node in ast.walk(tree):
        if not isinstance(node, _ARITHMETIC) or not _is_harmless(node):
            raise DataError(f"{expr!r} is more than arithmetic on columns: no file of a model may hold it")


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        if not isinstance(node.value, ast.Name) or node.attr.startswith("_"):
            return False
        if node.value.id == "np":
            return node.attr in _NUMPY or isinstance(getattr(np, node.attr, None), np.ufunc)
        return node.value.id == "contr"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in _CALLABLE
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute)
    return True


def stateful_calls(expr: str) -> Iterator[Stateful]:
    """The calls in an expression that need statistics of a whole column, outermost first.

    Examples
    --------
    >>> [(call.text, call.inside) for call in stateful_calls("scale(log(x), ddof=0) * 2")]
    [('scale(log(x), ddof=0)', 'log(x)')]
    """
    tree, names = expression_tree(expr)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WHOLE_COLUMN:
            text = _named(ast.unparse(node), names)
            if not node.args:
                raise FormulaError(f"{text} transforms nothing: write {node.func.id}(column)")
            keywords = _literals(node, text)
            yield Stateful(text, node.func.id, _named(ast.unparse(node.args[0]), names), keywords)


def _literals(node: ast.Call, text: str) -> tuple[tuple[str, Any], ...]:
    assert isinstance(node.func, ast.Name)
    positions = _POSITIONS.get(node.func.id)
    if positions is None:
        return ()
    given = [*zip(positions, node.args[1:], strict=False), *((key.arg or "", key.value) for key in node.keywords)]
    try:
        return tuple((name, ast.literal_eval(value)) for name, value in given)
    except ValueError as error:
        raise FormulaError(f"the arguments of {text} must be plain values here") from error


def _named(text: str, names: dict[str, str]) -> str:
    for stand_in, name in names.items():
        text = text.replace(stand_in, f"`{name}`")
    return text
