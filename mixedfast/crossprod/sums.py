"""Sums of products over the rows of a model, without operations on them.

``[Z X y]'W[Z X y]``, n and the sum of log weights determine the likelihood, every test and every
refit (docs/maths.md, "Everything is a cross-product").

Columns are shifted and scaled before they are multiplied: raw sums of squares of a response near
1e7 lose half the digits of the residual sum of squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._stored import are_within, stored
from mixedfast.covariance.relative import Covariance, TermShape
from mixedfast.crossprod.blocks import GroupProducts, PairProducts
from mixedfast.crossprod.scaling import Scaling

if TYPE_CHECKING:
    from mixedfast.design.coding import FixedTerm
    from mixedfast.design.types import Recipe

__all__ = ["Meta", "Sums"]


def _check_meta(fields: Any) -> Iterator[str]:
    if any(not are_within(term.columns, len(fields.x_names)) for term in fields.fixed_terms):
        yield f"a term of a Meta points outside of its {len(fields.x_names)} columns"
    if fields.library not in ("pandas", "polars", "pyarrow"):
        yield f"library of a Meta is {fields.library!r}"


@stored("Meta", relations=_check_meta)
@dataclass(frozen=True, eq=False)
class Meta:
    """Names, terms and recipe of a model, for tables and predictions; no rows.

    Parameters
    ----------
    formula, response : str
    x_names : tuple of str
        All columns of X, the linearly dependent ones included.
    fixed_terms : tuple of FixedTerm
        The columns of each term of the fixed part.
    n_dropped : int
        Rows left out for missing values.
    missing : dict of str to int
        Missing values by variable.
    weighted : bool
    recipe : Recipe or None
        Codes new data as the data of the fit were coded.
    library : {"pandas", "polars", "pyarrow"}
        The library of the data, and of the tables of results.
    """

    formula: str = ""
    response: str = "y"
    x_names: tuple[str, ...] = ()
    fixed_terms: tuple[FixedTerm, ...] = ()
    n_dropped: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    weighted: bool = False
    recipe: Recipe | None = None
    library: str = "pandas"


@dataclass(frozen=True, eq=False, repr=False)
class Sums:
    """Sums over rows that determine a fit; the fields are those of `CrossProducts`."""

    n: int
    xy: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    groups: tuple[GroupProducts, ...]
    pairs: dict[tuple[int, int], PairProducts]
    terms: tuple[TermShape, ...]
    x_names: tuple[str, ...]
    kept: np.ndarray
    constant: np.ndarray | None
    mix: np.ndarray | None = None
    sum_log_weights: float = 0.0
    unweighted: np.ndarray | None = None
    alias: np.ndarray | None = None
    meta: Meta = field(default_factory=Meta)

    @property
    def p(self) -> int:
        """Number of columns of X."""
        return len(self.x_names)

    @cached_property
    def covariance(self) -> Covariance:
        """The map from theta to the covariances of the random effects, internal basis."""
        return Covariance(
            self.terms,
            tuple(g.k for g in self.groups),
            tuple(g.shift for g in self.groups),
            tuple(g.scale for g in self.groups),
            tuple(g.mix for g in self.groups),
        )

    @property
    def term_groups(self) -> tuple[str, ...]:
        """The name of the group of each random term.

        A term that repeats an effect of an earlier term of its group, as the intercept in
        ``(a | g) + (b | g)``, has a number: ``g.1``, as in lme4.
        """
        out: list[str] = []
        effects: dict[int, list[set[str]]] = {}
        for term in self.terms:
            group = self.groups[term.group]
            own = set(group.names[term.start : term.start + term.k])
            earlier = effects.setdefault(term.group, [])
            repeats = any(own & other for other in earlier)
            out.append(f"{group.name}.{len(earlier)}" if repeats else group.name)
            earlier.append(own)
        return tuple(out)

    @property
    def scaling(self) -> Scaling:
        """Shifts and scales of the columns; further rows in the same scaling add exactly."""
        return Scaling(
            self.shift, self.scale, tuple(g.scaling for g in self.groups), self.constant, self.mix
        )

    @property
    def intercept(self) -> int | None:
        """Position of the constant 1 among the columns of X."""
        if self.constant is None or np.count_nonzero(self.constant) != 1:
            return None
        at = int(np.argmax(self.constant))
        return at if self.constant[at] == 1.0 else None

    @property
    def ones(self) -> np.ndarray | None:
        """The constant 1 in the internal columns of X, (p,); None when no column is shifted."""
        return self.scaling.ones
