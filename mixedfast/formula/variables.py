"""Variables of a formula: the columns it uses, and how.

A formula of names is split here, any other by formulaic; the columns in Python expressions
(``log(x)``, ``C(f, contr.sum)``) are found in their syntax tree. No data are needed, so all results
are cached.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from mixedfast.errors import FormulaError
from mixedfast.formula.expressions import (
    allowed,
    check_arithmetic,
    column_names,
    expression_tree,
    modules_used,
)
from mixedfast.formula.parser import plain_name
from mixedfast.formula.plain_terms import plain_terms
from mixedfast.formula.tokens import python_parts, without_code

__all__ = [
    "FactorInfo",
    "bare_names",
    "coded_names",
    "expression_names",
    "factor_info",
    "factors",
    "is_plain",
    "one_line",
    "python_factors",
    "too_deep",
    "used_names",
]

#: Most products of terms in the power of a sum, before equal ones are merged.
_MOST_PRODUCTS = 50_000


@dataclass(frozen=True)
class FactorInfo:
    """A factor of a formula.

    Parameters
    ----------
    expr : str
    kind : {"column", "coded", "literal", "python"}
        "coded" is ``C(column, ...)``.
    variables : tuple of str
        The columns it uses.
    """

    expr: str
    kind: str
    variables: tuple[str, ...]


def used_names(formula: str) -> tuple[str, ...]:
    """Return the columns that a formula uses, in order.

    Examples
    --------
    >>> used_names("x*C(f, contr.sum) + log(`my var`)")
    ('x', 'f', 'my var')
    """
    return _names(formula, allowed()).used


def coded_names(formula: str) -> tuple[str, ...]:
    """Return the columns that a formula uses inside ``C()``."""
    return _names(formula, allowed()).coded


def bare_names(formula: str) -> tuple[str, ...]:
    """Return the columns that a formula uses by name alone, where truth values are categories.

    Examples
    --------
    >>> bare_names("x + I(x * flag) + C(f)")
    ('x',)
    """
    return _names(formula, allowed()).bare


def python_factors(formula: str) -> tuple[str, ...]:
    """Return the factors that are Python expressions: ``log(x)``, ``I(x ** 2)``, ``scale(x)``."""
    return _names(formula, allowed()).python


class _Names(NamedTuple):
    """Columns that a formula uses in any way, inside ``C()`` and by name, and its expressions."""

    used: tuple[str, ...]
    coded: tuple[str, ...]
    bare: tuple[str, ...]
    python: tuple[str, ...]


@lru_cache(maxsize=256)
def _names(formula: str, known: frozenset[str]) -> _Names:
    infos = _factors(formula, known).values()
    return _Names(
        tuple(dict.fromkeys(name for info in infos for name in info.variables)),
        tuple(info.variables[0] for info in infos if info.kind == "coded"),
        tuple(info.expr for info in infos if info.kind == "column"),
        tuple(info.expr for info in infos if info.kind == "python"),
    )


def expression_names(expr: str) -> tuple[str, ...]:
    """Return the columns that the expression of a response or an offset uses.

    Raises
    ------
    FormulaError
        When it uses no column.
    """
    name = plain_name(expr)
    if name is not None:
        return (name,)
    names = _python_names(expr)[0]
    if not names:
        raise FormulaError(f"{expr!r} does not name a column of the data")
    return names


def factors(formula: str) -> dict[str, FactorInfo]:
    """Return the factors of a formula by their text in formulaic.

    Raises
    ------
    FormulaError
        When formulaic cannot read the formula, or it contains more than arithmetic on columns and
        known functions.
    """
    return _factors(formula, allowed())


@lru_cache(maxsize=256)
def _factors(formula: str, _: frozenset[str]) -> dict[str, FactorInfo]:
    """Compute `factors`; the functions that are allowed now are part of the key of the cache."""
    _check_powers(formula)
    _check_no_column_1(formula)
    plain = plain_terms(formula)
    if plain is not None:
        used = dict.fromkeys(name for term in plain for name in term)
        literal = {"1": FactorInfo("1", "literal", ())} if () in plain else {}
        return literal | {name: FactorInfo(name, "column", (name,)) for name in used}
    from formulaic import Formula
    from formulaic.errors import FormulaicError
    from formulaic.parser.types import Term

    try:
        terms = list(Formula(formula))
    except (FormulaicError, SyntaxError) as error:
        raise FormulaError(f"formulaic cannot read {formula!r}: {one_line(error)}") from error
    except (RecursionError, MemoryError) as error:  # both from Python's parser
        raise too_deep(formula) from error
    if not all(isinstance(term, Term) for term in terms):
        raise FormulaError(f"{formula!r} has more than one part: remove the '~' or '|'")
    found = {
        f.expr: factor_info(f.expr, f.eval_method.value) for term in terms for f in term.factors
    }
    _check_no_hidden_modules(formula, found.values())
    return found


def too_deep(formula: str) -> FormulaError:
    """Make the error for a formula that Python cannot evaluate for its length."""
    return FormulaError(
        f"{formula[:60]!r}... has an expression of too many nested operations: compute it as a "
        "column of the data first"
    )


def _check_no_hidden_modules(formula: str, infos: Iterable[FactorInfo]) -> None:
    """Raise FormulaError for a column named np or contr beside a call such as ``np.sqrt(x)``.

    ``sqrt`` would be looked up in the column, and pandas columns have methods that write files.
    """
    known = list(infos)
    columns = {name for info in known for name in info.variables}
    for info in known:
        hidden = (
            sorted(columns & modules_used(info.expr)) if info.kind in ("coded", "python") else []
        )
        if hidden:
            raise FormulaError(
                f"{formula!r} uses a column {hidden[0]!r} and {info.expr!r}: rename the column"
            )


def _check_no_column_1(formula: str) -> None:
    """Raise FormulaError for a column named 1, which formulaic takes for the intercept."""
    inside = python_parts(formula)
    if any(not inside[found.start()] for found in re.finditer(r"`\s*1\s*`", formula)):
        raise FormulaError(
            f"{formula!r} uses a column named 1, which formulaic takes for the intercept: "
            "rename the column"
        )


def _check_powers(formula: str) -> None:
    """Raise FormulaError for powers such as ``(a + b)^40``, whose expansion would never end."""
    text = without_code(formula)
    for power in re.finditer(r"\)\s*(?:\*\*|\^)\s*([0-9]+)", text):
        depth = 0
        for start in range(power.start(), -1, -1):
            depth += (text[start] == ")") - (text[start] == "(")
            if not depth:
                break
        base = text[start : power.start()]
        inside = math.prod(
            max(1, int(found)) for found in re.findall(r"(?:\*\*|\^)\s*([0-9]+)", base)
        )
        products = base.replace("**", "^").count("*")  # a * b stands for three terms
        terms = (1 + len(re.findall(r"[-+/:]", base))) << products
        if int(power[1]) * inside * math.log(terms) > math.log(_MOST_PRODUCTS):
            raise FormulaError(
                f"{formula!r} expands to too many interactions: write out those you need"
            )


def factor_info(expr: str, method: str) -> FactorInfo:
    """Describe a factor by its text and formulaic's method of evaluation."""
    if method == "lookup":
        return FactorInfo(expr, "column", (expr,))
    if method == "literal":
        return FactorInfo(expr, "literal", ())
    names, is_coded = _python_names(expr)
    return FactorInfo(expr, "coded" if is_coded else "python", names)


def is_plain(formula: str) -> bool:
    """Return whether all columns are products of data columns and contrasts."""
    return all(
        info.kind in ("column", "coded") or (info.kind == "literal" and info.expr == "1")
        for info in factors(formula).values()
    )


def _python_names(expr: str) -> tuple[tuple[str, ...], bool]:
    """Return the columns that a Python expression uses, and whether it is ``C()`` of one column."""
    check_arithmetic(expr)
    variables = column_names(expr)
    tree, _ = expression_tree(expr)
    is_coded = (
        isinstance(tree, ast.Call)
        and isinstance(tree.func, ast.Name)
        and tree.func.id == "C"
        and len(variables) == 1
        and isinstance(tree.args[0] if tree.args else None, ast.Name)
    )
    return variables, is_coded


def one_line(error: Exception) -> str:
    """Return an error message of formulaic without colours and line breaks."""
    return re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).strip().replace("\n", " ")
