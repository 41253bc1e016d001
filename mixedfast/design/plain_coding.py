"""Columns of formulas of names, as formulaic codes them: numbers, and indicators of levels.

A categorical column has an indicator of each level, or of each but the first where the terms
before span the rest: ``(anything):(all but one) + (anything)`` is ``(anything):(all)``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

__all__ = ["plain_columns"]

#: Factors of a product, each with whether its first level is left out.
_Scoped = tuple[tuple[str, bool], ...]
#: The name of a column, and its factors: variables, and for a category the value of each level.
_Named = tuple[str, tuple[tuple[str, np.ndarray | None], ...]]


def plain_columns(
    terms: Sequence[tuple[str, ...]], levels: Mapping[str, Sequence[object]]
) -> list[list[_Named]]:
    """Make names and products of the columns of each term.

    Parameters
    ----------
    terms : sequence of tuple of str
        See `mixedfast.formula.plain_terms.plain_terms`.
    levels : dict of str to sequence
        Of the categorical columns, two or more each; the others are numeric.

    Examples
    --------
    >>> made = plain_columns([(), ("f",), ("f", "x")], {"f": ["a", "b"]})
    >>> [[name for name, _ in columns] for columns in made]
    [['Intercept'], ['f[T.b]'], ['f[a]:x', 'f[b]:x']]
    """
    spanned: set[frozenset[str]] = set()
    out = []
    for term in terms:
        parts = _parts(term, levels)
        new = [part for part in parts if frozenset(part) not in spanned]
        spanned.update(map(frozenset, new))
        reduced = [tuple((name, name in levels) for name in part) for part in new]
        out.append([column for scoped in _merged(reduced) for column in _product(scoped, levels)])
    return out


def _parts(term: tuple[str, ...], levels: Mapping[str, object]) -> list[tuple[str, ...]]:
    """List the products that a term spans: with or without each of its categorical columns."""
    choices = [(True, False) if name in levels else (True,) for name in term]
    return [tuple(itertools.compress(term, chosen)) for chosen in itertools.product(*choices)]


def _merged(products: Iterable[_Scoped]) -> list[_Scoped]:
    """Merge products of reduced factors into fewer ones that span the same columns."""
    out: list[_Scoped] = []
    for product in sorted(products, key=len):
        for smaller in out:
            more = set(product) - set(smaller)
            if len(product) == len(smaller) + 1 and len(more) == 1 and next(iter(more))[1]:
                ((name, _),) = more
                whole = tuple((f, reduced and f != name) for f, reduced in product)
                out = _merged([*(other for other in out if other != smaller), whole])
                break
        else:
            out.append(product)
    return out


def _product(factors: _Scoped, levels: Mapping[str, Sequence[object]]) -> list[_Named]:
    """Make the columns of a product; the levels of its first factor vary fastest."""
    choices = [_indicators(name, reduced, levels.get(name)) for name, reduced in factors]
    chosen = (columns[::-1] for columns in itertools.product(*reversed(choices)))
    return [
        (
            ":".join(label for label, _, _ in columns) or "Intercept",
            tuple((name, table) for _, name, table in columns),
        )
        for columns in chosen
    ]


def _indicators(
    name: str, reduced: bool, levels: Sequence[object] | None
) -> list[tuple[str, str, np.ndarray | None]]:
    """List label, variable and values by level of the columns of one factor."""
    if levels is None:
        return [(name, name, None)]
    one = np.eye(len(levels))
    labels = [f"{name}[T.{level}]" if reduced else f"{name}[{level}]" for level in levels]
    return [(label, name, one[j].copy()) for j, label in enumerate(labels)][int(reduced) :]
