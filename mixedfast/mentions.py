"""What a formula mentions: the data columns it uses, and how it uses them.

formulaic splits a formula into factors; what Python expressions among them (``log(x)``, ``C(f, contr.sum)``)
read is found in their syntax tree. No data are needed, so every answer is remembered.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mixedfast.errors import FormulaError
from mixedfast.expressions import expression_tree
from mixedfast.formula import plain_name

__all__ = [
    "FUNCTIONS",
    "FactorInfo",
    "coded_names",
    "expression_names",
    "factor_info",
    "factors",
    "is_plain",
    "one_line",
    "python_factors",
    "used_names",
]

#: What R's users write in formulas and formulaic does not know by itself.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in ("abs", "ceil", "cos", "expm1", "floor", "log1p", "sin", "sqrt", "tan")
}

#: What to write instead of functions of R that have no namesake here.
_INSTEAD = {
    "ns": "natural splines are cr(x, df=...), with one more df",
    "cut": "make the column first, with pandas.cut",
    "relevel": "write C(f, contr.treatment('level'))",
    "ifelse": "write np.where(condition, a, b)",
    "interaction": "write f:g",
    "s": "smooth terms are not random effects here; write bs(x, df=...) or cr(x, df=...)",
    "cbind": "fit one response at a time",
    "diag": "write (x || g) for uncorrelated effects",
    "us": "write (x | g) for correlated effects",
}


@dataclass(frozen=True)
class FactorInfo:
    """One factor of a formula.

    ``kind`` is "column", "coded" (``C(column, ...)``), "literal" or "python"; ``variables`` are the columns it reads.
    """

    expr: str
    kind: str
    variables: tuple[str, ...]


def used_names(formula: str) -> tuple[str, ...]:
    """The data columns a formula uses, in order.

    Examples
    --------
    >>> used_names("x*C(f, contr.sum) + log(`my var`)")
    ('x', 'f', 'my var')
    """
    return tuple(dict.fromkeys(name for info in factors(formula).values() for name in info.variables))


def coded_names(formula: str) -> tuple[str, ...]:
    """The columns a formula uses inside ``C()``, whatever their dtype."""
    return tuple(info.variables[0] for info in factors(formula).values() if info.kind == "coded")


def python_factors(formula: str) -> tuple[str, ...]:
    """The factors of a formula that are Python expressions: ``log(x)``, ``I(x ** 2)``, ``scale(x)``."""
    return tuple(info.expr for info in factors(formula).values() if info.kind == "python")


def expression_names(expr: str) -> tuple[str, ...]:
    """The data columns a response or offset expression uses.

    Raises
    ------
    FormulaError
        When it uses none.
    """
    name = plain_name(expr)
    if name is not None:
        return (name,)
    names = _python_names(expr)[0]
    if not names:
        raise FormulaError(f"{expr!r} names no column of the data")
    return names


@lru_cache(maxsize=256)
def factors(formula: str) -> dict[str, FactorInfo]:
    """The factors of a formula by the text formulaic knows them by."""
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        terms = list(Formula(formula))
    except (FormulaicError, SyntaxError) as error:
        raise FormulaError(f"formulaic cannot read {formula!r}: {one_line(error)}") from error
    return {f.expr: factor_info(f.expr, f.eval_method.value) for term in terms for f in term.factors}


def factor_info(expr: str, method: str) -> FactorInfo:
    """What one factor is, from its text and how formulaic would evaluate it."""
    if method == "lookup":
        return FactorInfo(expr, "column", (expr,))
    if method == "literal":
        return FactorInfo(expr, "literal", ())
    names, is_coded = _python_names(expr)
    return FactorInfo(expr, "coded" if is_coded else "python", names)


def is_plain(formula: str) -> bool:
    """Whether the columns are products of data columns and contrasts, so that a skeleton tells all."""
    return all(
        info.kind in ("column", "coded") or (info.kind == "literal" and info.expr == "1")
        for info in factors(formula).values()
    )


@lru_cache(maxsize=256)
def _python_names(expr: str) -> tuple[tuple[str, ...], bool]:
    """The columns a Python expression uses, and whether it is ``C()`` of one column."""
    tree, names = expression_tree(expr)
    known = _functions()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in known:
            raise _unknown(node.func.id, expr)
    found = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    found = [names.get(name, name) for name in found if name not in known and not hasattr(builtins, name)]
    for node in ast.walk(tree):  # Q("my var") names a column by a string
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Q":
            found += [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
    variables = tuple(dict.fromkeys(found))
    is_coded = (
        isinstance(tree, ast.Call)
        and isinstance(tree.func, ast.Name)
        and tree.func.id == "C"
        and len(variables) == 1
        and isinstance(tree.args[0] if tree.args else None, ast.Name)
    )
    return variables, is_coded


def _unknown(name: str, expr: str) -> FormulaError:
    advice = _INSTEAD.get(name, f"known are {', '.join(sorted(_functions()))}, and NumPy's as np.name(x)")
    return FormulaError(f"unknown function {name!r} in {expr!r}; {advice}")


@lru_cache(maxsize=1)
def _functions() -> frozenset[str]:
    from formulaic.transforms import TRANSFORMS

    return frozenset({*TRANSFORMS, *FUNCTIONS})


def one_line(error: Exception) -> str:
    """formulaic's message without its colours and line breaks."""
    return re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).strip().replace("\n", " ")
