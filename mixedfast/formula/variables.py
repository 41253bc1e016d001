"""What a formula mentions: the data columns it uses, and how it uses them.

formulaic splits a formula into factors; what Python expressions among them (``log(x)``, ``C(f, contr.sum)``)
read is found in their syntax tree. No data are needed, so every answer is remembered.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mixedfast.errors import FormulaError
from mixedfast.formula.expressions import (
    allowed,
    column_names,
    expression_tree,
    modules_used,
    refuse_code,
)
from mixedfast.formula.parser import plain_name
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
    "used_names",
]

#: Products of terms that a sum to a power may stand for before equal ones are put together.
_MOST_PRODUCTS = 50_000


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
    return tuple(
        dict.fromkeys(name for info in factors(formula).values() for name in info.variables)
    )


def coded_names(formula: str) -> tuple[str, ...]:
    """The columns a formula uses inside ``C()``, whatever their dtype."""
    return tuple(info.variables[0] for info in factors(formula).values() if info.kind == "coded")


def bare_names(formula: str) -> tuple[str, ...]:
    """The columns a formula uses by their name alone, where True and False are categories.

    Examples
    --------
    >>> bare_names("x + I(x * flag) + C(f)")
    ('x',)
    """
    return tuple(info.expr for info in factors(formula).values() if info.kind == "column")


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


def factors(formula: str) -> dict[str, FactorInfo]:
    """The factors of a formula by the text formulaic knows them by.

    Raises
    ------
    FormulaError
        When formulaic cannot read it, or it holds more than arithmetic on columns and known functions.
    """
    return _factors(formula, allowed())


@lru_cache(maxsize=256)
def _factors(formula: str, _: frozenset[str]) -> dict[str, FactorInfo]:
    """With what is allowed now, so that an answer is not remembered past it."""
    from formulaic import Formula
    from formulaic.errors import FormulaicError
    from formulaic.parser.types import Term

    _refuse_large_powers(formula)
    _refuse_a_column_called_1(formula)
    try:
        terms = list(Formula(formula))
    except (FormulaicError, SyntaxError) as error:
        raise FormulaError(f"formulaic cannot read {formula!r}: {one_line(error)}") from error
    if not all(isinstance(term, Term) for term in terms):
        raise FormulaError(f"{formula!r} has more than one part: take the '~' or '|' out of it")
    found = {
        f.expr: factor_info(f.expr, f.eval_method.value) for term in terms for f in term.factors
    }
    _refuse_hidden_modules(formula, found.values())
    return found


def _refuse_hidden_modules(formula: str, infos: Iterable[FactorInfo]) -> None:
    """A column called np or contr beside ``np.sqrt(x)`` would be asked for the function, and has others of that name."""
    known = list(infos)
    columns = {name for info in known for name in info.variables}
    for info in known:
        hidden = (
            sorted(columns & modules_used(info.expr)) if info.kind in ("coded", "python") else []
        )
        if hidden:
            raise FormulaError(
                f"{formula!r} uses a column {hidden[0]!r} and {info.expr!r}: give the column another name"
            )


def _refuse_a_column_called_1(formula: str) -> None:
    """formulaic knows factors by their text, and the intercept's is 1."""
    inside = python_parts(formula)
    if any(not inside[found.start()] for found in re.finditer(r"`\s*1\s*`", formula)):
        raise FormulaError(
            f"{formula!r} asks for a column called 1, which cannot be told from the intercept: give the column another name"
        )


def _refuse_large_powers(formula: str) -> None:
    """formulaic multiplies all of a sum's terms with each other, as often as the power says: ``(a + b)^40`` would never end."""
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
        terms = (1 + len(re.findall(r"[-+/:]", base))) << base.replace("**", "^").count(
            "*"
        )  # a * b is three
        if int(power[1]) * inside * math.log(terms) > math.log(_MOST_PRODUCTS):
            raise FormulaError(
                f"{formula!r} stands for too many interactions: write out those you mean"
            )


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


def _python_names(expr: str) -> tuple[tuple[str, ...], bool]:
    """The columns a Python expression uses, and whether it is ``C()`` of one column."""
    refuse_code(expr)
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
    """formulaic's message without its colours and line breaks."""
    return re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).strip().replace("\n", " ")
