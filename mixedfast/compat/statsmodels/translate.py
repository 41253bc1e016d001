"""Translation of a statsmodels model to lmer: a formula, a table, the place of each parameter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.compat.statsmodels.components import Component, Groups
from mixedfast.compat.statsmodels.packed import MixedLMParams
from mixedfast.covariance.relative import lower_cholesky
from mixedfast.errors import NotIdentifiedError
from mixedfast.formula.parser import quote

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.results import LMMResult

__all__ = ["Effect", "Translation", "translate"]


@dataclass(frozen=True)
class Effect:
    """A random effect of the lmer model: its grouping factor and the name of its column."""

    group: str
    name: str


@dataclass(frozen=True, eq=False)
class Translation:
    """The lmer model.

    Parameters
    ----------
    formula : str
    data : DataFrame
    fixed : tuple of str
        lmer's name of each column of ``exog``.
    random : tuple of Effect
        One a column of ``exog_re``.
    components : tuple of Effect
        One a variance component.
    correlated : bool
        Whether the columns of ``exog_re`` may correlate.
    """

    formula: str
    data: pd.DataFrame
    fixed: tuple[str, ...]
    random: tuple[Effect, ...]
    components: tuple[Effect, ...]
    correlated: bool

    def without_rows(self) -> Translation:
        """Return the translation without the table, for a result."""
        return replace(self, data=self.data.iloc[:0])

    def elements(self) -> list[tuple[Effect, Effect]]:
        """List the effects of each random covariance: lower triangle by rows, then components."""
        k = len(self.random)
        pairs = [(self.random[i], self.random[j]) for i in range(k) for j in range(i + 1)]
        return pairs + [(effect, effect) for effect in self.components]

    def variances(self, result: LMMResult) -> np.ndarray:
        """Read the value of every element, in units of the data; zero if it is not in the model."""
        table = result.varcorr
        at = self.positions(result)
        values = table["variance"].to_numpy()
        return np.array([0.0 if i is None else values[i] for i in at])

    def theta(self, params: MixedLMParams) -> np.ndarray:
        """Compute theta of given relative covariances, in the order of lmer: most groups first."""
        parts: list[tuple[int, np.ndarray]] = []
        if self.random:
            names = [effect.name for effect in self.random]
            order = sorted(range(len(names)), key=lambda i: names[i] != "Intercept")
            values, vectors = np.linalg.eigh(np.asarray(params.cov_re)[np.ix_(order, order)])
            factor = lower_cholesky(vectors * np.sqrt(np.maximum(values, 0.0)))
            parts.append((self._levels(self.random[0]), factor[np.triu_indices(len(names))[::-1]]))
        for effect, variance in zip(self.components, params.vcomp, strict=True):
            parts.append((self._levels(effect), np.array([np.sqrt(variance)])))
        parts.sort(key=lambda part: -part[0])
        return np.concatenate([values for _, values in parts])

    def _levels(self, effect: Effect) -> int:
        return int(self.data[effect.group].nunique())

    def positions(self, result: LMMResult) -> list[int | None]:
        """Find the row of ``result.varcorr`` with each element."""
        table = result.varcorr
        rows: dict[tuple[Effect, Effect], int] = {}
        columns = zip(table["group"], table["name1"], table["name2"], strict=True)
        for i, (group, one, other) in enumerate(columns):
            a, b = Effect(group, one), Effect(group, other if isinstance(other, str) else one)
            rows[a, b] = rows[b, a] = i
        return [rows.get(pair) for pair in self.elements()]


class _Table:
    """Columns with unique names."""

    def __init__(self) -> None:
        self.columns: dict[str, object] = {}
        self._taken = {"Intercept", "Residual"}

    def add(self, name: str, values: object) -> str:
        """Add a column and return its name; identical columns are kept once."""
        if isinstance(values, np.ndarray):
            for known, column in self.columns.items():
                if isinstance(column, np.ndarray) and np.array_equal(column, values):
                    return known
        wanted = (name.replace("`", "'") or "x").strip()
        free = wanted
        count = 1
        while free in self._taken:
            count += 1
            free = f"{wanted}.{count}"
        self._taken.add(free)
        self.columns[free] = values
        return free


def translate(
    endog: np.ndarray,
    endog_name: str,
    exog: np.ndarray,
    exog_names: list[str],
    groups: Groups,
    group_name: str,
    exog_re: np.ndarray | None,
    re_names: list[str],
    components: tuple[Component, ...],
    correlated: bool = True,
) -> Translation:
    """Translate arrays of statsmodels to an lmer model.

    Raises
    ------
    NotIdentifiedError
        When two random terms are the same.
    """
    import pandas as pd

    table = _Table()
    group = table.add(
        group_name, pd.Categorical.from_codes(groups.codes, categories=pd.Index(groups.labels))
    )
    factors = [_factor(table, component, groups, group) for component in components]
    response = table.add(endog_name, np.ascontiguousarray(endog, dtype=float))
    fixed = _columns(table, exog, exog_names)
    random = (
        ()
        if exog_re is None
        else tuple(Effect(group, name) for name in _columns(table, exog_re, re_names))
    )
    effects = tuple(
        Effect(
            factor, "Intercept" if component.z is None else table.add(component.name, component.z)
        )
        for factor, component in zip(factors, components, strict=True)
    )
    _check_distinct_terms([*random, *effects])
    terms = [_sum(list(fixed))]
    if random:
        terms.append(
            f"({_sum([e.name for e in random])} {'|' if correlated else '||'} {quote(group)})"
        )
    terms += [f"({_sum([e.name])} | {quote(e.group)})" for e in effects]
    formula = f"{quote(response)} ~ {' + '.join(terms)}"
    return Translation(formula, pd.DataFrame(table.columns), fixed, random, effects, correlated)


def _columns(table: _Table, values: np.ndarray, names: list[str]) -> tuple[str, ...]:
    """Add the columns of a matrix to the table; the first column of ones is the intercept."""
    out: list[str] = []
    for j, name in enumerate(names):
        column = np.ascontiguousarray(values[:, j], dtype=float)
        constant = "Intercept" not in out and bool((column == 1.0).all())
        out.append("Intercept" if constant else table.add(name, column))
    return tuple(out)


def _factor(table: _Table, component: Component, groups: Groups, group: str) -> str:
    import pandas as pd

    if component.is_group_effect and len(component.owner) == len(groups.labels):
        return group
    labels = [str(label) for label in component.labels]
    if len(groups.labels) > 1:
        labels = [
            f"{groups.labels[g]}/{label}" for g, label in zip(component.owner, labels, strict=True)
        ]
    index = pd.Index(labels)
    categories = index if index.is_unique else pd.RangeIndex(len(labels))
    return table.add(
        component.name, pd.Categorical.from_codes(component.codes, categories=categories)
    )


def _sum(names: list[str]) -> str:
    rest = [quote(name) for name in names if name != "Intercept"]
    return " + ".join(["1" if "Intercept" in names else "0", *rest])


def _check_distinct_terms(effects: list[Effect]) -> None:
    for i, effect in enumerate(effects):
        if effect in effects[:i]:
            raise NotIdentifiedError(
                f"two random effects are the same: column {effect.name!r} for each "
                f"{effect.group!r}; leave one out"
            )
