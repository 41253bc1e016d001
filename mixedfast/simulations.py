"""`power` and `permute`: what a design can find, and tests that assume nothing of distributions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast._validation import check_count, check_level, check_seed
from mixedfast.crossprod.collinearity import well_conditioned
from mixedfast.data.categories import Categorical
from mixedfast.data.frames import ColumnData, Numeric, Table, as_table
from mixedfast.design.build import build
from mixedfast.design.columns import evaluate
from mixedfast.design.model_frame import taken
from mixedfast.design.new_groups import is_constant_within, with_groups
from mixedfast.design.types import Design
from mixedfast.errors import ArgumentError, DataError, NotIdentifiedError
from mixedfast.estimation.fit import Fit, solve_at
from mixedfast.estimation.fit_rows import fit_rows
from mixedfast.formula.parser import ModelSpec, parse, plain_name
from mixedfast.inference.ddf.methods import DDF, f_test
from mixedfast.inference.hypotheses.contrasts import contrasts
from mixedfast.inference.hypotheses.simulated_power import simulated_tests
from mixedfast.inference.prediction.other_parameters import with_parameters
from mixedfast.results.lmm import LMMResult
from mixedfast.results.simulated import Permutation, Power, PowerRow

__all__ = ["permute", "power"]


def power(
    model: LMMResult | str,
    effects: Mapping[str, float],
    n_groups: int | Sequence[int] | None = None,
    n_per_group: int | Sequence[int] | None = None,
    n_sim: int = 1000,
    *,
    group: str | None = None,
    test: Any = None,
    alpha: float = 0.05,
    ddf: DDF = "satterthwaite",
    data: Any = None,
    params: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int | None = None,
    progress: Show = "auto",
) -> Power:
    """Estimate the power of a test by simulation, for several numbers of groups and of rows.

    Responses are drawn from the model with the effects given, the model is fitted to each, and the
    share of significant tests is the power.

    Parameters
    ----------
    model : LMMResult or str
        A fitted model, for example of a pilot study: its covariates, theta and sigma are used. Or a
        formula, with `data` and `params`.
    effects : dict
        Coefficient -> its value in the population.
    n_groups : int or sequence of int, optional
        Numbers of groups to try. Groups are copies of those of the data, taken at equal distances
        after sorting by the columns of the test, so that the shares of treated groups stay.
        Default: as many as the data have.
    n_per_group : int or sequence of int, optional
        Numbers of rows per group to try. Default: the rows of the data.
    n_sim : int
        Responses to draw for each design. The Monte Carlo standard error of a power of 0.8 is 0.013
        with 1,000.
    group : str, optional
        The grouping factor of `n_groups`. Default: the only one, or the one that all others are
        nested in.
    test : hypothesis, optional
        As in `contrast`: ``"treat = 0"``, several are tested jointly. Default: all coefficients in
        `effects` are zero.
    alpha : float
        Level of the test.
    ddf : str
        Degrees of freedom of the test.
    data : data frame or mapping of arrays, optional
        The rows of the design; they need no response. Default: those of the fitted model.
    params : dict, optional
        ``"theta"`` (see `LMMResult.theta`), ``"sigma"``, or coefficients, as in `simulate`. For a
        formula theta and sigma are needed, and coefficients not named are zero.
    level : float
        Of the intervals of the power.
    seed : int, optional
        The same seed gives the same numbers.
    progress : {"auto", True, False}

    Returns
    -------
    Power
        ``to_frame()`` has one row per design. Ctrl-C keeps the designs that are done.

    Raises
    ------
    ArgumentError
        For an unknown coefficient, a group that is no grouping factor, or numbers below 1.
    DataError, NotIdentifiedError
        When the rows are not available, or a design does not identify the coefficients.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> print(mf.power(m, {"Days": 4.0}, n_groups=[10, 20], n_sim=200, seed=1))
    Power of the test of Days = 0 at level 0.05, df by satterthwaite, by simulation;
    groups are levels of Subject; interval: 95%
    <BLANKLINE>
     n_groups  n_per_group  n_obs power conf_low conf_high  n_sim  n_singular  n_failed
           10           10    100 0.365    0.298     0.436    200          21         0
           20           10    200 0.705    0.637     0.767    200           2         0
    """
    check_count("n_sim", n_sim)
    check_level(alpha, "alpha")
    check_level(level)
    check_seed(seed)
    if not isinstance(effects, Mapping) or not effects:
        raise ArgumentError(f"effects={effects!r}: give a mapping of coefficients to their values")
    source = _Source.of(model, effects, data, params)
    factor = source.factor(group)
    designs = list(product(_numbers("n_groups", n_groups), _numbers("n_per_group", n_per_group)))
    hypothesis = dict.fromkeys(effects, 0.0) if test is None else test
    rows: list[PowerRow] = []
    tested = ""
    try:
        with bar(len(designs) * n_sim, "simulating", progress) as advance:
            for J, per_group in designs:
                design, truth = source.design(factor, J, per_group, list(effects))
                wanted = [{name: 1.0} for name in hypothesis] if test is None else test
                found = contrasts(truth, wanted)
                tested = ", ".join(found.labels)
                counts = np.zeros(3, dtype=int)
                for p, converged, singular in simulated_tests(
                    truth, design, found.L, found.rhs, n_sim, seed, ddf
                ):
                    good = converged and np.isfinite(p)
                    counts += (bool(good and p < alpha), singular, not good)
                    advance(1)
                term = next(t for t in design.terms if t.group == factor)
                sizes = np.bincount(term.codes)
                rows.append(
                    PowerRow(
                        len(sizes),
                        int(sizes[0]) if (sizes == sizes[0]).all() else None,
                        len(design.y),
                        n_sim,
                        *counts.tolist(),
                    )
                )
    except KeyboardInterrupt:
        if not rows:
            raise
        sys.stderr.write(f"interrupted: the {len(rows)} designs finished so far are kept\n")
    return Power(tested, factor, str(ddf), alpha, level, tuple(rows), source.table.library)


class _Source:
    """The rows and the parameters that power is computed from."""

    def __init__(
        self,
        spec: ModelSpec,
        table: Table,
        call: Mapping[str, Any],
        parameters: Mapping[str, Any],
        of_model: LMMResult | None,
    ) -> None:
        self.spec, self.table, self.call = spec, table, call
        self.parameters, self.of_model = parameters, of_model

    @classmethod
    def of(
        cls,
        model: LMMResult | str,
        effects: Mapping[str, float],
        data: Any,
        params: Mapping[str, Any] | None,
    ) -> _Source:
        """Collect them from a fitted model, or from a formula, a table and parameters."""
        given = {**({} if params is None else params), **effects}
        if isinstance(model, str):
            return cls._of_formula(parse(model), data, given)
        if not isinstance(model, LMMResult):
            raise ArgumentError(
                f"power({model!r}): give a fitted linear mixed model, or a formula with data= and "
                "params="
            )
        call, rows = model._call, data
        if rows is None:
            if call is None or "data" not in call.arguments:
                raise DataError(
                    "power needs the rows of the fit, and this result came without them: give data="
                )
            rows = call.arguments["data"]
        kept = {
            name: call.arguments.get(name) if call is not None else None
            for name in ("weights", "offset", "contrasts")
        }
        for name in ("weights", "offset"):
            if kept[name] is not None and not isinstance(kept[name], str):
                raise DataError(
                    f"power: the {name} of the fit were an array, which has no values for other "
                    "rows: put them into a column of the data"
                )
        fit = model._fit
        values = {"beta": dict(zip(fit.cp.x_names, fit.beta.tolist(), strict=True))}
        spec = parse(model.formula)
        return cls(
            spec,
            as_table(rows),
            kept,
            values | {"theta": fit.theta, "sigma": fit.sigma} | given,
            model,
        )

    @classmethod
    def _of_formula(cls, spec: ModelSpec, data: Any, given: Mapping[str, Any]) -> _Source:
        missing = [name for name in ("theta", "sigma") if name not in given]
        if data is None or missing:
            raise ArgumentError(
                "power of a formula needs data=, the rows of the design, and params= with theta "
                "and sigma: theta = 0.5 is a standard deviation between groups half as large as "
                "that of the residuals"
            )
        table = as_table(data)
        response = plain_name(spec.response)
        if response is None:
            raise ArgumentError(
                f"power: the response {spec.response} is an expression: give the formula the name "
                "of the values that the model describes, such as score"
            )
        if response not in table.names:  # values that are replaced by the draws
            table = _with_column(table, response, Numeric(np.arange(table.n, dtype=float)))
        return cls(spec, table, {}, given, None)

    def factor(self, group: str | None) -> str:
        """Return the grouping factor whose number of levels changes."""
        names = list(dict.fromkeys(f for term in self.spec.random for f in term.factors))
        if group is not None:
            if group not in names:
                raise ArgumentError(f"group={group!r}: the grouping factors are {', '.join(names)}")
            return group
        codes = {name: self.table.grouping(name).codes for name in names}
        for name in sorted(names, key=lambda name: len(np.unique(codes[name]))):
            if all(is_constant_within(codes[name], codes[o]) for o in names if o != name):
                return name
        raise ArgumentError(
            f"the grouping factors {', '.join(names)} are crossed: name the one whose number of "
            "levels changes with group="
        )

    def design(
        self, group: str, n_groups: int | None, n_per_group: int | None, names: list[str]
    ) -> tuple[Design, Fit]:
        """Build the design with other numbers of groups and rows, and the model to draw from."""
        original = build(self.spec, self.table, na_action="omit", **self.call)
        table = self.table
        if original.kept_rows is not None:
            table = _rows_of(table, original.kept_rows)
        if n_groups is not None or n_per_group is not None:
            others = {f for term in self.spec.random for f in term.factors} - {group}
            columns = [
                evaluate(column, len(original.y))
                for column, name in zip(original.x, original.x_names, strict=True)
                if name in names
            ]
            like = np.stack(columns, axis=1) if columns else None
            table = with_groups(table, group, sorted(others), n_groups, n_per_group, like)
        design = build(self.spec, table, **self.call)
        cp = well_conditioned(design)
        reml = True if self.of_model is None else self.of_model.reml
        theta = np.atleast_1d(np.asarray(self.parameters["theta"], dtype=float))
        truth = solve_at(cp, theta, reml)
        known = truth.cp
        lost = [name for name in names if name in known.meta.x_names and name not in known.x_names]
        if lost:
            raise NotIdentifiedError(
                f"with n_groups={n_groups} and n_per_group={n_per_group} the data do not determine "
                f"{', '.join(lost)}: use more groups or rows"
            )
        return design, with_parameters(truth, self._parameters(truth))

    def _parameters(self, truth: Fit) -> dict[str, Any]:
        """Return all parameters; without a fitted model, coefficients not named are zero."""
        if self.of_model is not None:
            return dict(self.parameters)
        return {"beta": dict.fromkeys(truth.cp.x_names, 0.0), **self.parameters}


def permute(
    model: LMMResult,
    column: str,
    n: int = 999,
    *,
    within: str | None = None,
    seed: int | None = None,
    progress: Show = "auto",
) -> Permutation:
    """Test a column of the data by shuffling its values.

    The model is fitted again with the column shuffled; the p value is the share of shuffles whose
    F statistic, of all terms that contain the column jointly, is at least as large as that of the
    data. A column that is constant in the levels of a grouping factor, such as a treatment of
    schools, is shuffled among these levels; any other among the rows of each level of the factor
    with most levels. The test is exact where the treatment was assigned so, whatever the
    distributions; with other columns correlated with it, it is approximate.

    Parameters
    ----------
    model : LMMResult
        With rows.
    column : str
        A column of the data in the fixed part.
    n : int
        Shuffles.
    within : str, optional
        A column of the data: shuffle within its levels only, as where treatments were assigned in
        each district.
    seed : int, optional
        The same seed gives the same shuffles.
    progress : {"auto", True, False}

    Returns
    -------
    Permutation
        Ctrl-C keeps the shuffles that are done.

    Raises
    ------
    ArgumentError
        When the fixed part does not contain the column.
    DataError
        When the rows are not available, or no shuffle changes the data.

    References
    ----------
    Phipson and Smyth (2010), *Statistical Applications in Genetics and Molecular Biology* 9(1), 39:
    the data count as one shuffle, so that p is never 0.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
    >>> print(mf.permute(m, "Days", n=99, seed=1))
    Permutation test of Days: values shuffled within the 18 levels of Subject
    F = 169.401, p = 0.01 from 99 shuffles (Monte Carlo 95%: 0 to 0.0366)
    """
    if not isinstance(model, LMMResult):
        raise ArgumentError(f"permute({model!r}): give a fitted linear mixed model")
    check_count("n", n)
    check_seed(seed)
    design, call = model._rows("permute"), model._call
    if call is None or "data" not in call.arguments:
        raise DataError(
            "permute needs the table of the fit, and this result came without it: fit the model "
            "with lmer"
        )
    terms = [term for term in design.fixed_terms if column in term.variables]
    if not terms:
        known = dict.fromkeys(v for term in design.fixed_terms for v in term.variables)
        raise ArgumentError(
            f"permute({column!r}): the variables of the fixed part are {', '.join(known)}"
        )
    kept = np.arange(len(design.y)) if design.kept_rows is None else design.kept_rows
    table = _rows_of(as_table(call.arguments["data"]), kept)
    weights, offset = (
        value if value is None or isinstance(value, str) else np.asarray(value)[kept]
        for value in (call.arguments.get("weights"), call.arguments.get("offset"))
    )
    coding = call.arguments.get("contrasts")
    unit, units, blocks = _units(design, table, column, within)
    places = [place for term in terms for place in term.columns]
    fit = model._fit

    def statistic(one: Fit) -> float:
        tested = np.eye(one.cp.p)[np.isin(one.cp.kept, places)]
        return f_test(one, tested, 0.0, "asymptotic").f_value

    drawn: list[float] = []
    try:
        with bar(n, "permuting", progress) as advance:
            for order in _shuffles(units, blocks, n, seed):
                shuffled = _with_column(table, column, taken(table.column(column), order))
                other = build(design.spec, shuffled, weights, offset, coding)
                cp = well_conditioned(other)
                drawn.append(statistic(fit_rows(cp, other, fit.reml, engine=fit.engine_wanted)))
                advance(1)
    except KeyboardInterrupt:
        if not drawn:
            raise
        sys.stderr.write(f"interrupted: the {len(drawn)} shuffles finished so far are kept\n")
    names = tuple(term.name for term in terms)
    return Permutation(column, unit, names, statistic(fit), np.array(drawn), n, table.library)


def _units(
    design: Design, table: Table, column: str, within: str | None
) -> tuple[str, np.ndarray, np.ndarray]:
    """Choose what is shuffled: the unit of each row, and the block of each unit.

    Returns also a description.
    """
    held = table.column(column)
    values = held.codes if isinstance(held, Categorical) else held.values
    inside = None if within is None else table.grouping(within).codes
    limits = "" if within is None else f" within the levels of {within}"
    constant = [
        term for term in design.terms if term.group and is_constant_within(values, term.codes)
    ]
    if constant:
        term = min(constant, key=lambda term: len(term.levels))
        units, J = term.codes, len(term.levels)
        blocks = np.zeros(J, dtype=np.int64)
        if inside is not None:
            if not is_constant_within(inside, units):
                raise ArgumentError(
                    f"permute(within={within!r}): levels of {term.group} lie in several levels of "
                    f"{within}, but {column} is constant in each level of {term.group}"
                )
            blocks[units] = inside
        unit = f"values shuffled among the {J:,} levels of {term.group}{limits}"
        values = values[np.unique(units, return_index=True)[1]]
    else:
        term = max(design.terms, key=lambda term: len(term.levels))
        units = np.arange(table.n)
        blocks = term.codes if inside is None else inside
        limits = limits or f" within the {len(term.levels):,} levels of {term.group}"
        unit = f"values shuffled{limits}"
    if is_constant_within(values, blocks):
        raise DataError(
            f"permute({column!r}): {unit} leave the data as they are, since {column} does not vary "
            "there: give another within="
        )
    return unit, units, blocks


def _shuffles(
    units: np.ndarray, blocks: np.ndarray, n: int, seed: int | None
) -> Iterator[np.ndarray]:
    """Draw for each row the row that gives it a value; shuffle r depends only on the seed and r."""
    first = np.unique(units, return_index=True)[1]
    order = np.argsort(blocks, kind="stable")
    for child in np.random.SeedSequence(seed).spawn(n):
        keys = np.random.default_rng(child).random(len(blocks))
        moved = np.empty(len(blocks), dtype=np.int64)
        moved[order] = np.lexsort((keys, blocks))
        yield first[moved[units]]


def _numbers(name: str, given: int | Sequence[int] | None) -> list[int | None]:
    """Return numbers of groups or rows to try; [None] for those of the data."""
    if given is None:
        return [None]
    listed = list(given) if isinstance(given, (Sequence, np.ndarray)) else [given]
    if not listed:
        raise ArgumentError(f"{name} is empty: give at least one number")
    return [check_count(name, value) for value in listed]


def _with_column(table: Table, name: str, column: ColumnData) -> Table:
    """Return a table with one column added or replaced."""
    names = table.names if name in table.names else (*table.names, name)
    return Table(
        names,
        table.n,
        lambda other: column if other == name else table.column(other),
        table.library,
    )


def _rows_of(table: Table, rows: np.ndarray) -> Table:
    """Take some rows of a table."""
    return Table(
        table.names, len(rows), lambda name: taken(table.column(name), rows), table.library
    )
