"""Terms of formulas of names, ``+``, ``:`` and ``*``, in the order of formulaic.

Most formulas need no more, and formulaic takes longer to import than such a model to fit. Every
other formula is left to formulaic; the tests compare the two on random formulas.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["plain_terms"]

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[^\W\d]\w*(?:\.\w+)*)(?![\w.`(\[])|`(?P<quoted>[^`\\]+)`(?![\w.`(\[])"
    r"|(?P<number>[01])(?![\w.`(\[])|(?P<mark>[-+:*]))"
)

#: A term: the columns that it multiplies; the intercept has none.
Term = tuple[str, ...]


@lru_cache(maxsize=256)
def plain_terms(formula: str) -> tuple[Term, ...] | None:
    """Expand a formula into its terms, those of fewer columns first; None for other formulas.

    Examples
    --------
    >>> plain_terms("a * b + `my var` - 1")
    (('a',), ('b',), ('my var',), ('a', 'b'))
    >>> plain_terms("1"), plain_terms("log(x)")
    (((),), None)
    """
    tokens = _tokens(formula)
    if not tokens:
        return None
    terms: list[Term] = []
    intercept: list[bool] = []
    for sign, summand in _summands(tokens):
        if len(summand) == 1 and summand[0][0] == "number":
            intercept.append((sign == "+") == (summand[0][1] == "1"))
            continue
        found = _products(summand)
        if sign == "-" or found is None:
            return None
        terms += found
    if len(intercept) > 1:
        return None
    known: dict[frozenset[str], Term] = {}
    for term in terms:
        known.setdefault(frozenset(term), term)
    ordered = sorted(known.values(), key=len)
    return tuple([()] * (not intercept or intercept[0]) + ordered)


def _tokens(formula: str) -> list[tuple[str, str]] | None:
    """Split a formula into (kind, text); None when it has anything else."""
    out, at, text = [], 0, formula.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return None
        kind = str(found.lastgroup)
        out.append((kind.replace("quoted", "name"), found[kind]))
        at = found.end()
    return out


def _summands(tokens: list[tuple[str, str]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Split tokens at plus and minus signs; return the sign and the tokens of each part."""
    out: list[tuple[str, list[tuple[str, str]]]] = []
    for kind, text in tokens:
        if kind == "mark" and text in "+-":
            out.append((text, []))
        else:
            if not out:
                out.append(("+", []))
            out[-1][1].append((kind, text))
    return out


def _products(tokens: list[tuple[str, str]]) -> list[Term] | None:
    """Expand names joined by ``:`` and ``*``; None unless names and marks alternate."""
    names, marks = tokens[::2], tokens[1::2]
    if len(names) != len(marks) + 1 or any(kind != "name" for kind, _ in names):
        return None
    crossed: list[Term] = [(names[0][1],)]
    for (kind, mark), (_, name) in zip(marks, names[1:], strict=True):
        if kind != "mark":
            return None
        if mark == ":":
            crossed[-1] = (*crossed[-1], name)
        else:
            crossed.append((name,))
    if len({name for part in crossed for name in part}) < len(names):
        return None
    out: list[Term] = []
    for part in crossed:
        out += [part, *((*term, *part) for term in out)]
    return out
