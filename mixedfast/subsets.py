"""`lmer_by`: one model fitted to every subset of a table."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast._validation import check_choice, check_flag, check_names, check_threads
from mixedfast.api import lmer
from mixedfast.crossprod.by_subset import SubsetSums, sums_by_subset
from mixedfast.data.categories import Categorical, drop_unused, factorize
from mixedfast.data.frames import Table, as_table, rows_of
from mixedfast.data.lazy_frames import is_lazy
from mixedfast.data.sources import is_stream
from mixedfast.design.build import build, gather, without_dot
from mixedfast.design.checks import check_missing
from mixedfast.design.doubtful_values import check_codes_for_missing
from mixedfast.design.model_frame import taken
from mixedfast.design.types import Design
from mixedfast.errors import (
    ConvergenceWarning,
    DataError,
    MixedFastError,
    NotIdentifiedError,
    SingularFitWarning,
    warn,
)
from mixedfast.estimation.fit import fit_crossproducts
from mixedfast.formula.expressions import stateful_calls
from mixedfast.formula.parser import parse, plain_name
from mixedfast.results.lmm import LMMResult
from mixedfast.results.subset_fits import Each, Optimum, SubsetFits, SubsetRow, rows_of_fits

__all__ = ["lmer_by"]


def lmer_by(
    formula: str,
    data: Any,
    by: str | Sequence[str],
    REML: bool = True,
    weights: str | Any = None,
    offset: str | Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    engine: str = "auto",
    threads: int | None = None,
    progress: Show = "auto",
) -> SubsetFits:
    """Fit one linear mixed model to every subset of a table.

    Each row of the result has the numbers of `lmer` for the rows of one subset; the rows of the
    data are sorted and summed once for all subsets. A subset that cannot be fitted is a row with
    its error. Ctrl-C ends the loop and keeps the subsets that are done.

    Parameters
    ----------
    formula : str
        In the language of lme4. ``.`` does not include the columns of `by`.
    data : data frame or mapping of arrays
        In memory.
    by : str or sequence of str
        The columns whose values, or combinations of values, define the subsets, in their order.
        Rows where one is missing belong to no subset.
    REML, weights, offset, contrasts, na_action, engine
        As for `lmer`.
    threads : int, optional
        Number of threads that read the rows.
    progress : {"auto", True, False}
        Show a bar that counts subsets.

    Returns
    -------
    SubsetFits
        ``to_frame()`` is a table with one row per subset, ``each[label]`` the full result of one.

    Raises
    ------
    FormulaError
        When the formula cannot be read.
    DataError
        When a column does not exist, or the data are read in batches.

    Notes
    -----
    Levels of a predictor that a subset lacks are left out of its model, as by `lmer`: where the
    first level is missing, the coefficients of the others are differences from another level.

    Examples
    --------
    >>> import mixedfast as mf
    >>> fits = mf.lmer_by("math ~ ses + (1 | school)", mf.load_dataset("hsb"), by="sector")
    >>> fits
    <SubsetFits math ~ ses + (1 | school) by sector; 2 subsets; 0 singular; 0 not converged; \
0 with an error>
    >>> fits.params.round(3)
              Intercept    ses
    sector
    Catholic     13.945  1.589
    Public       11.806  3.003
    >>> fits.each["Public"].nobs
    3642
    """
    spec = parse(formula)
    if is_lazy(data) or is_stream(data):
        raise DataError(
            "mf.lmer_by takes a table in memory: collect the lazy frame, or read the files first"
        )
    check_flag("REML", REML)
    check_choice("engine", engine, ("auto", "block", "cholmod"))
    check_threads(threads)
    table = as_table(data)
    if table.n == 0:
        raise DataError("the data have no rows")
    names = check_names("by", by)
    subsets = _subsets(table, names, na_action)
    whole = without_dot(spec, [name for name in table.names if name not in names], weights)
    used = gather(whole, table, weights, offset)
    shown = [n for n in table.names if n not in names or n in used.columns or n in used.groups]
    order = subsets.rows
    ordered = Table(shown, len(order), lambda name: taken(table.column(name), order), table.library)
    vectors: dict[str, Any] = {
        label: used.vectors[label][order]
        if label in used.vectors and not isinstance(given, str)
        else given
        for label, given in (("weights", weights), ("offset", offset))
    }
    call: dict[str, Any] = {
        "REML": REML,
        "contrasts": contrasts,
        "na_action": na_action,
        "engine": engine,
        "threads": threads,
        "progress": False,
    }
    one = _One(formula, ordered, subsets.edges, vectors, call)
    sums, places = _sums(whole, ordered, subsets, vectors, contrasts, na_action, threads)
    hidden = tuple(name for name in names if name not in shown)

    def full(s: int) -> LMMResult:
        rows = order[subsets.edges[s] : subsets.edges[s + 1]]
        return one.fit(s, rows_of(data, rows, hidden if whole is not spec else ()))

    found: list[Optimum | SubsetRow] = []
    try:
        with bar(len(subsets.keys), "fitting subsets", progress) as advance:
            for s in range(len(subsets.keys)):
                found.append(_fit_sums(sums, int(places[s]), REML, engine) or one.row(s))
                advance(1)
    except KeyboardInterrupt:
        if not found:
            raise
        sys.stderr.write(f"interrupted: the {len(found)} subsets finished so far are kept\n")
    rows = _rows(sums, found)
    for (category, message), count in one.warnings.items():
        warn(f"{message} (in {count} of {len(rows)} subsets)", category)
    keys = tuple(subsets.keys[: len(rows)])
    return SubsetFits(
        formula=spec.formula,
        by=names,
        keys=keys,
        each=Each(keys, full),
        rows=tuple(rows),
        requested=len(subsets.keys),
        library=table.library,
    )


@dataclass(frozen=True, eq=False)
class _Subsets:
    """The rows sorted by subset, the edges of the subsets among them (S+1,), and their labels."""

    rows: np.ndarray
    edges: np.ndarray
    keys: list[Hashable]


def _subsets(table: Table, names: tuple[str, ...], na_action: str) -> _Subsets:
    """Sort the rows by the columns that define the subsets."""
    if not names or len(set(names)) < len(names):
        fault = "one column twice" if names else "no column"
        raise DataError(f"by= names {fault}: give one or more columns of the data")
    parts = [drop_unused(table.grouping(name)) for name in names]
    known = np.logical_and.reduce([part.codes >= 0 for part in parts])
    counts = {n: int((p.codes < 0).sum()) for n, p in zip(names, parts, strict=True)}
    check_missing({name: count for name, count in counts.items() if count}, na_action)
    if not known.any():
        raise DataError(f"every row has a missing value in {' or '.join(names)}")
    codes = parts[0].codes.astype(np.int64)
    for part in parts[1:]:
        codes = codes * len(part.levels) + part.codes
    found = factorize(codes[known])
    order = np.argsort(found.codes, kind="stable")
    edges = np.searchsorted(found.codes[order], np.arange(len(found.levels) + 1))
    return _Subsets(np.flatnonzero(known)[order], edges, _labels(parts, found.levels))


def _labels(parts: Sequence[Categorical], combined: np.ndarray) -> list[Hashable]:
    """Return the label of each subset, or the tuple of its labels."""
    labels: list[list[Any]] = []
    for part in reversed(parts):
        combined, own = np.divmod(combined, len(part.levels))
        labels.insert(0, part.levels[own].tolist())
    return list(labels[0]) if len(labels) == 1 else list(zip(*labels, strict=True))


# --- from sums by subset --------------------------------------------------------------------------


def _sums(
    spec: Any,
    table: Table,
    subsets: _Subsets,
    vectors: Mapping[str, Any],
    contrasts: Mapping[str, Any] | None,
    na_action: str,
    threads: int | None,
) -> tuple[SubsetSums | None, np.ndarray]:
    """Sum all subsets at once; return also the place of each among the sums, -1 for none.

    None where each subset has columns of its own, as with ``scale(x)``, or where the data of some
    cannot be used: then the subsets are fitted one by one, and each has its own error.
    """
    places = np.full(len(subsets.keys), -1)
    try:
        design = build(spec, table, vectors["weights"], vectors["offset"], contrasts, na_action)
        if not _is_rowwise(design):
            return None, places
        at = np.arange(table.n) if design.kept_rows is None else design.kept_rows
        subset = np.searchsorted(subsets.edges, at, side="right") - 1
        present = factorize(subset)
        sums = sums_by_subset(design, present.codes, len(present.levels), threads)
    except (DataError, NotIdentifiedError):
        return None, places
    check_codes_for_missing(design.variables.columns.items())
    places[present.levels] = np.where(sums.clear, np.arange(len(present.levels)), -1)
    return sums, places


def _is_rowwise(design: Design) -> bool:
    """Return whether the columns of a row depend on that row alone, and no effect occurs twice."""
    spec, recipe = design.spec, design.recipe
    expressions = [e for e in (spec.response, *spec.offsets) if plain_name(e) is None]
    named = [(term.group, name) for term in design.terms for name in term.names]
    return (
        all(coding.products is not None for coding in (recipe.fixed, *recipe.random))
        and not any("np." in expr or any(stateful_calls(expr)) for expr in expressions)
        and len(set(named)) == len(named)
    )


def _rows(sums: SubsetSums | None, found: Sequence[Optimum | SubsetRow]) -> list[SubsetRow]:
    """Make the rows of all subsets; those from sums at once."""
    of_sums = [one for one in found if isinstance(one, Optimum)]
    made = iter(() if sums is None else rows_of_fits(sums.whole, of_sums))
    return [next(made) if isinstance(one, Optimum) else one for one in found]


def _fit_sums(sums: SubsetSums | None, place: int, REML: bool, engine: str) -> Optimum | None:
    """Fit a subset from its sums; None where its rows are needed."""
    if sums is None or place < 0:
        return None
    fit = fit_crossproducts(sums.products(place), REML, engine=engine)
    return None if fit.needs_rows else Optimum.of_fit(fit)


# --- one by one -----------------------------------------------------------------------------------


class _One:
    """Fits of single subsets by `lmer`, and the warnings of these."""

    def __init__(
        self,
        formula: str,
        table: Table,
        edges: np.ndarray,
        vectors: Mapping[str, Any],
        call: Mapping[str, Any],
    ) -> None:
        self.formula, self.table, self.edges = formula, table, edges
        self.vectors, self.call = vectors, call
        self.warnings: Counter[tuple[type[Warning], str]] = Counter()

    def fit(self, s: int, data: Any) -> LMMResult:
        """Fit a subset to a table of its rows."""
        rows = slice(int(self.edges[s]), int(self.edges[s + 1]))
        vectors: dict[str, Any] = {
            label: value if value is None or isinstance(value, str) else value[rows]
            for label, value in self.vectors.items()
        }
        return lmer(self.formula, data, **vectors, **self.call)

    def table_of(self, s: int) -> Table:
        """Return the rows of a subset, which are next to each other."""
        rows, whole = slice(int(self.edges[s]), int(self.edges[s + 1])), self.table
        return Table(
            whole.names,
            rows.stop - rows.start,
            lambda name: taken(whole.column(name), rows),
            whole.library,
        )

    def row(self, s: int) -> SubsetRow:
        """Fit a subset, or record why it cannot be fitted."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                fit = self.fit(s, self.table_of(s))._fit
                row = rows_of_fits(fit.cp, [Optimum.of_fit(fit)])[0]
            except MixedFastError as error:
                row = SubsetRow(int(self.edges[s + 1] - self.edges[s]), str(error))
        for one in caught:
            if not issubclass(one.category, (ConvergenceWarning, SingularFitWarning)):
                self.warnings[one.category, str(one.message)] += 1
        return row
