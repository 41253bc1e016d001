"""Estimated marginal means: what the model predicts for every level of a factor, other factors averaged evenly.

Searle, Speed and Milliken (1980, The American Statistician 34), population marginal means. The model is evaluated on a
reference grid, every combination of the factors' levels with covariates at their means, and averaged. The grid is the one of
R's emmeans (Lenth): a covariate with two values only counts as a factor, an offset given as an array is held at its mean.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._validation import check_choice, check_level, check_names, did_you_mean
from mixedfast.crossprod.row_moments import column_means
from mixedfast.data.frames import Numeric
from mixedfast.data.frames_out import in_callers_library
from mixedfast.design.columns import matrix
from mixedfast.design.covariates import ARRAY_OFFSET
from mixedfast.design.new_data import apply
from mixedfast.design.types import Design, Recipe
from mixedfast.errors import ArgumentError, DataError, FormulaError, NotDefinedError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.formula.variables import expression_names, used_names
from mixedfast.formula.variables import factors as factors_of
from mixedfast.inference.ddf.methods import DDF, boundary_note, f_test, t_test, without_groups
from mixedfast.inference.distributions import t_quantile
from mixedfast.inference.hypotheses.anova_types import estimable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ADJUSTMENTS", "MarginalMeans", "emmeans"]

ADJUSTMENTS = ("tukey", "holm", "bonferroni", "sidak", "none")


@dataclass(frozen=True, eq=False)
class MarginalMeans:
    """Estimated marginal means; made by `emmeans`.

    Parameters
    ----------
    fit : LinearFit
    specs, by : tuple of str
        The variables whose means these are, and those that split them into families.
    levels : tuple of tuple
        One a mean: values of ``specs``, then of ``by``.
    L : (m, p) array
        Over the identifiable coefficients; the means are ``L beta + offset``. NaN rows cannot be estimated.
    offset : (m,) array
    at : dict
        Where the other covariates were held.
    over : tuple of str
        The variables averaged over.
    ddf : str or TraceMethod
    level : float
    library : {"pandas", "polars", "pyarrow"}
        What tables are given as.
    """

    fit: LinearFit
    specs: tuple[str, ...]
    by: tuple[str, ...]
    levels: tuple[tuple[Any, ...], ...]
    L: np.ndarray
    offset: np.ndarray
    at: Mapping[str, Any]
    over: tuple[str, ...]
    ddf: DDF
    level: float
    library: str = "pandas"

    @in_callers_library
    def to_frame(self) -> pd.DataFrame:
        """The means: one column a variable, then ``emmean, std_error, df, conf_low, conf_high``.

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
        >>> m.emmeans("sector").to_frame().round(2)[["sector", "emmean", "std_error"]]
             sector  emmean  std_error
        0  Catholic   13.82       0.25
        1    Public   11.72       0.23
        """
        return self._table()

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        tests = _tests(self.fit, self.L, self.ddf, self.level)
        moved = {name: tests[name] + self.offset for name in ("estimate", "conf_low", "conf_high")}
        return pd.DataFrame(
            {
                **{
                    name: [row[i] for row in self.levels]
                    for i, name in enumerate((*self.specs, *self.by))
                },
                "emmean": moved["estimate"],
                "std_error": tests["std_error"],
                "df": tests["df"],
                "conf_low": moved["conf_low"],
                "conf_high": moved["conf_high"],
            }
        )

    @in_callers_library
    def pairs(self, adjust: str = "tukey") -> pd.DataFrame:
        """All differences of two means, within each level of ``by``.

        Parameters
        ----------
        adjust : {"tukey", "holm", "bonferroni", "sidak", "none"}
            How p values and intervals allow for the number of means (Tukey) or of comparisons in a family. Holm's steps have
            no intervals: theirs are Bonferroni's.

        Returns
        -------
        DataFrame
            ``contrast``, the variables of ``by``, then ``estimate, std_error, df, statistic, p_value, conf_low, conf_high``.

        Raises
        ------
        ArgumentError
            For an unknown adjustment.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
        >>> emmeans(m._fit, "sector").pairs().round(3)[["contrast", "estimate", "std_error"]]
                    contrast  estimate  std_error
        0  Catholic - Public     2.101      0.341
        """
        import pandas as pd

        check_choice("adjust", adjust, ADJUSTMENTS)
        frames = [self._family(list(members), adjust) for members in self._families().values()]
        return pd.concat(frames, ignore_index=True)

    @in_callers_library
    def joint(self) -> pd.DataFrame:
        """F tests that all means of a family are equal, one row a level of ``by``.

        Returns
        -------
        DataFrame
            The variables of ``by``, then ``num_df, den_df, f_value, p_value``; NaN when a mean cannot be estimated.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", mf.load_dataset("cake"))
        >>> m.emmeans("recipe").joint().round(2)[["num_df", "den_df", "f_value"]].values.tolist()
        [[2.0, 42.0, 0.25]]
        """
        import pandas as pd

        rows = []
        for by, members in self._families().items():
            L = self.L[members[1:]] - self.L[members[0]]
            rhs = self.offset[members[0]] - self.offset[members[1:]]
            known = len(L) > 0 and not np.isnan(L).any()
            F, num_df, den_df, p_value = (
                f_test(self.fit, L, rhs, self.ddf) if known else (np.nan,) * 4
            )
            rows.append((*by, num_df, den_df, F, p_value))
        return pd.DataFrame(rows, columns=[*self.by, "num_df", "den_df", "f_value", "p_value"])

    def _families(self) -> dict[tuple[Any, ...], list[int]]:
        families: dict[tuple[Any, ...], list[int]] = {}
        for i, row in enumerate(self.levels):
            families.setdefault(row[len(self.specs) :], []).append(i)
        return families

    def _family(self, members: list[int], adjust: str) -> pd.DataFrame:
        import pandas as pd

        couples = list(itertools.combinations(members, 2))
        first, second = (np.array([pair[k] for pair in couples], dtype=int) for k in (0, 1))
        tests = _tests(self.fit, self.L[first] - self.L[second], self.ddf, self.level)
        shift = self.offset[first] - self.offset[second]
        estimate = tests["estimate"] + shift
        statistic = tests["statistic"] + shift / tests["std_error"]
        by = self.levels[members[0]][len(self.specs) :]
        margin = _critical(self.level, tests["df"], len(members), adjust) * tests["std_error"]
        return pd.DataFrame(
            {
                "contrast": [f"{self._label(i)} - {self._label(j)}" for i, j in couples],
                **dict(zip(self.by, by, strict=True)),
                "estimate": estimate,
                "std_error": tests["std_error"],
                "df": tests["df"],
                "statistic": statistic,
                "p_value": _adjusted(statistic, tests["df"], len(members), adjust),
                "conf_low": estimate - margin,
                "conf_high": estimate + margin,
            }
        )

    def _label(self, i: int) -> str:
        return " ".join(str(value) for value in self.levels[i][: len(self.specs)])

    def _notes(self) -> str:
        held = ", ".join(f"{name} = {_short(value)}" for name, value in self.at.items())
        interval = f"{100 * self.level:g}% intervals, df by {self.ddf}"
        over = f"averaged over {', '.join(self.over)}" if self.over else ""
        return "; ".join(
            filter(
                None,
                [interval, f"at {held}" if held else "", over, boundary_note(self.fit, self.ddf)],
            )
        )

    def __str__(self) -> str:
        return f"{self._table().to_string(index=False)}\n{self._notes()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        return f"{self._table().to_html(index=False)}<p>{escape(self._notes())}</p>"


def emmeans(
    fit: LinearFit,
    specs: str | Sequence[str],
    at: Mapping[str, Any] | None = None,
    by: str | Sequence[str] | None = None,
    ddf: DDF = "satterthwaite",
    level: float = 0.95,
    weights: str = "equal",
    offset: float | None = None,
    design: Design | None = None,
    alias: np.ndarray | None = None,
) -> MarginalMeans:
    """Estimated marginal means.

    Parameters
    ----------
    fit : LinearFit
    specs : str or sequence of str
        The variables to give means for: ``"f"``, ``["f", "g"]``, or ``"f | g"`` for f within each g.
    at : dict, optional
        Variable -> the value, or list of values, to use instead of a covariate's mean or all levels of a factor.
    by : str or sequence of str, optional
        Variables that split the comparisons into families.
    ddf : str or TraceMethod
    level : float
    weights : {"equal", "proportional"}
        How cells are averaged over the other factors: evenly, or by how many rows they hold (which needs the rows).
    offset : float, optional
        Added to all means in the place of the model's offset.
    design : Design, optional
        The rows; needed for ``weights="proportional"``.
    alias : (p, p_all) array, optional
        From `alias_matrix`; tells which means can be estimated when columns were left out.

    Returns
    -------
    MarginalMeans

    Raises
    ------
    FormulaError
        For a variable that is not in the fixed part.
    DataError
        When a mean is needed that only the rows can tell; ``at=`` is the way out.

    Notes
    -----
    Covariates are held at the mean of the variable itself over rows, also where the formula transforms it. One with two values
    only takes both, with equal weight (with ``at=`` any other). An offset is evaluated on the grid like a covariate; one given
    as an array is held at its mean.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
    >>> emmeans(m._fit, "sector").to_frame().round(2)[["sector", "emmean", "std_error"]]
         sector  emmean  std_error
    0  Catholic   13.82       0.25
    1    Public   11.72       0.23
    """
    check_level(level)
    recipe = fit.cp.meta.recipe
    if recipe is None:
        raise NotDefinedError(
            "emmeans needs the coding of the model, which these cross-products do not carry"
        )
    wanted, families = _asked(specs, by)
    if at is not None and not isinstance(at, Mapping):
        raise ArgumentError(f"at={at!r}: a dict such as {{variable: value}}")
    if offset is not None and not (isinstance(offset, Real) and np.isfinite(offset)):
        raise ArgumentError(f"offset={offset!r}: a number, added to all means")
    given = dict(at or {})
    known = _variables(recipe)
    for name in (*wanted, *families, *given):
        _require(name, known)
    factors = {
        name: recipe.levels[name].tolist() for name in known if _is_factor(name, fit, recipe)
    }
    values = {name: _values(name, given, factors, fit, design) for name in known}
    order = [*wanted, *families, *(name for name in known if name not in (*wanted, *families))]
    # the first variable varies fastest, families last
    cells = [row[::-1] for row in itertools.product(*(values[name] for name in reversed(order)))]
    grid = {name: [row[i] for row in cells] for i, name in enumerate(order)}
    X, moved = _rows(recipe, grid, len(cells), len(fit.cp.meta.x_names))
    moved = moved if offset is None else np.full(len(cells), float(offset))
    averaged_over = [
        name for name in known if len(values[name]) > 1 and name not in (*wanted, *families, *given)
    ]
    shares = _shares(weights, cells, order, averaged_over, design)
    keys = [row[: len(wanted) + len(families)] for row in cells]
    levels = tuple(dict.fromkeys(keys))
    mine = [np.array([key == one for key in keys]) for one in levels]
    averaged = np.array([np.average(X[rows], axis=0, weights=shares[rows]) for rows in mine])
    return MarginalMeans(
        fit=fit,
        specs=wanted,
        by=families,
        levels=levels,
        L=estimable(fit.cp, averaged, alias),
        offset=np.array([np.average(moved[rows], weights=shares[rows]) for rows in mine]),
        at={
            name: value[0]
            for name, value in values.items()
            if len(value) == 1 and name not in (*wanted, *families)
        },
        over=tuple(
            name for name in known if len(values[name]) > 1 and name not in (*wanted, *families)
        ),
        ddf=ddf if isinstance(fit, Fit) else without_groups(ddf),
        level=level,
    )


# --- the question -------------------------------------------------------------------------------------------


def _asked(
    specs: str | Sequence[str], by: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variables asked for and those that split them; ``"f | g"`` says both."""
    families = () if by is None else check_names("by", by)
    if not isinstance(specs, (str, Sequence)):
        raise FormulaError(
            f"specs={specs!r}: the name of a variable of the fixed part, or a list of names"
        )
    wanted: tuple[str, ...] = tuple(specs)
    if isinstance(specs, str):
        left, _, right = specs.strip().removeprefix("~").partition("|")
        wanted, families = _listed(left), (*_listed(right), *families)
    if not wanted:
        raise FormulaError(f"specs={specs!r} names no variable to give means for")
    twice = [name for name, count in Counter((*wanted, *families)).items() if count > 1]
    if twice:
        raise FormulaError(
            f"{twice[0]!r} is named twice in specs={specs!r}"
            + ("" if by is None else f", by={by!r}")
        )
    return wanted, families


def _listed(text: str) -> tuple[str, ...]:
    """The names in ``"f + g"`` or ``"f * g"``."""
    return tuple(name.strip() for name in text.replace("*", "+").split("+") if name.strip())


def _variables(recipe: Recipe) -> tuple[str, ...]:
    """The data columns the fixed part and its offsets use."""
    offsets = [name for expr in recipe.spec.offsets for name in expression_names(expr)]
    given = [recipe.offset_column] if recipe.offset_column is not None else []
    return tuple(dict.fromkeys([*used_names(recipe.fixed.formula), *offsets, *given]))


def _require(name: str, known: Sequence[str]) -> None:
    if name not in known:
        hint = did_you_mean(name, known, most=1) or f"it uses {', '.join(known) or 'no variable'}"
        raise FormulaError(f"the fixed part has no variable {name!r}: {hint}")


def _is_factor(name: str, fit: LinearFit, recipe: Recipe) -> bool:
    """Whether a variable only ever enters as categories."""
    if name not in recipe.levels:
        return False
    known = factors_of(recipe.fixed.formula)
    kinds = [
        kind
        for term in fit.cp.meta.fixed_terms
        for factor, kind in zip(term.factors, term.kinds, strict=True)
        if name in known[factor].variables
    ]
    return name not in recipe.numeric or (bool(kinds) and set(kinds) == {"categorical"})


def _values(
    name: str,
    given: Mapping[str, Any],
    factors: Mapping[str, list[Any]],
    fit: LinearFit,
    design: Design | None,
) -> list[Any]:
    """The values of one variable on the grid."""
    if name not in given:
        return factors[name] if name in factors else _usual(name, fit)
    value = given[name]
    values = [value] if isinstance(value, str) or not np.iterable(value) else list(value)
    unknown = [v for v in values if v not in factors[name]] if name in factors else []
    missing = [v for v in values if v is None or v != v]
    if unknown or missing or not values:
        known = (
            f"the levels of {name} are {factors[name]}"
            if name in factors
            else f"give numbers to hold {name} at"
        )
        raise DataError(f"at={{{name!r}: {value!r}}}: {known}")
    return values


def _usual(name: str, fit: LinearFit) -> list[float]:
    """Where a covariate is held: both its values when it has two, else its mean over rows."""
    cp = fit.cp
    known = cp.meta.recipe.covariates.get(name) if cp.meta.recipe is not None else None
    if known is not None:
        return list(known.values) if len(known.values) == 2 else [known.mean]
    for term in cp.meta.fixed_terms:
        if term.factors == (name,) and term.kinds == ("numeric",) and term.columns[0] in cp.kept:
            return [float(column_means(cp)[np.flatnonzero(cp.kept == term.columns[0])[0]])]
    raise DataError(
        f"the mean of {name!r} is not known from the cross-products: say where to hold it, at={{{name!r}: value}}"
    )


def _rows(
    recipe: Recipe, grid: Mapping[str, list[Any]], n: int, p_all: int
) -> tuple[np.ndarray, np.ndarray]:
    """All columns of X on the grid, (n, p_all), and the offset, (n,)."""
    coded = apply(recipe, {name: np.asarray(column) for name, column in grid.items()}, groups=False)
    X = np.zeros((n, p_all))
    X[:, list(recipe.kept)] = matrix(coded.x, n)
    array = recipe.covariates.get(ARRAY_OFFSET)
    offset = np.full(n, 0.0 if array is None else array.mean)
    return X, offset if coded.offset is None else offset + coded.offset


def _shares(
    weights: str,
    cells: list[tuple[Any, ...]],
    order: list[str],
    others: list[str],
    design: Design | None,
) -> np.ndarray:
    """The weight of each cell of the grid in its mean."""
    if weights == "equal":
        return np.ones(len(cells))
    if weights != "proportional":
        raise NotDefinedError(f"weights={weights!r}: 'equal' or 'proportional'")
    if design is None:
        raise DataError("weights='proportional' counts rows, and this result was made without them")
    codes, levels = (
        zip(*(_coded(design, name) for name in others), strict=True) if others else ((), ())
    )
    counts = np.zeros(tuple(map(len, levels)))
    np.add.at(counts, codes, 1.0)
    places = [
        (order.index(name), {level: i for i, level in enumerate(known)})
        for name, known in zip(others, levels, strict=True)
    ]
    return np.array([counts[tuple(where[row[i]] for i, where in places)] for row in cells])


def _coded(design: Design, name: str) -> tuple[np.ndarray, list[Any]]:
    """Which level each row is at, and the levels; of a covariate with few values, these."""
    if name in design.variables.coded:
        column = design.variables.coded[name]
        return column.codes, column.levels.tolist()
    numbers = design.variables.columns[name]
    assert isinstance(numbers, Numeric)
    levels, codes = np.unique(numbers.values, return_inverse=True)
    return codes, levels.astype(float).tolist()


# --- numbers ------------------------------------------------------------------------------------------------


def _tests(fit: LinearFit, L: np.ndarray, ddf: DDF, level: float) -> dict[str, np.ndarray]:
    """`t_test` with NaN for rows that cannot be estimated."""
    can = ~np.isnan(L).any(axis=1)
    out = {}
    for name, values in t_test(fit, L[can], 0.0, ddf, level).items():
        out[name] = np.full(len(L), np.nan)
        out[name][can] = values
    return out


def _adjusted(statistic: np.ndarray, df: np.ndarray, n_means: int, adjust: str) -> np.ndarray:
    """p values of a family of pairwise differences."""
    from scipy.stats import studentized_range
    from scipy.stats import t as student

    if adjust == "tukey" and n_means > 2:  # for two means the studentized range is t itself
        return np.asarray(studentized_range.sf(np.abs(statistic) * np.sqrt(2.0), n_means, df))
    p_value = np.asarray(2.0 * student.sf(np.abs(statistic), df))
    count = len(
        p_value
    )  # comparisons that cannot be estimated count, as for Tukey, the intervals and R's emmeans
    if adjust == "bonferroni":
        return np.minimum(p_value * count, 1.0)
    if adjust == "sidak":
        return np.asarray(-np.expm1(count * np.log1p(-p_value)))
    if adjust == "holm":
        order = np.argsort(p_value)  # NaN last
        out = np.empty(count)
        out[order] = np.minimum(
            np.maximum.accumulate(p_value[order] * np.arange(count, 0, -1)), 1.0
        )
        return out
    return p_value


def _critical(level: float, df: np.ndarray, n_means: int, adjust: str) -> np.ndarray:
    """How many standard errors the intervals of a family of pairwise differences reach."""
    from scipy.stats import studentized_range

    count = n_means * (n_means - 1) // 2
    if adjust == "tukey" and n_means > 2:
        some, place = np.unique(
            np.round(df, 6), return_inverse=True
        )  # a slow function: once for each df is enough
        return np.asarray(studentized_range.ppf(level, n_means, some) / np.sqrt(2.0))[place]
    tail = 1.0 - level
    if adjust in ("bonferroni", "holm"):
        tail /= count
    elif adjust == "sidak":
        tail = -np.expm1(np.log1p(-tail) / count)
    return t_quantile(1.0 - 0.5 * tail, df)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
