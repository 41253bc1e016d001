"""Plans: the recipe and scaling by which all parts of the data are coded and summed.

They are made from facts about all rows: levels, groups, statistics. Every batch, or query of an
engine, is coded by the recipe alone, so all parts are coded alike. It is the recipe that a fit in
memory makes, by the same functions, from one row per level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixedfast._stored import stored
from mixedfast.crossprod.assemble import PartialSums, sum_rows
from mixedfast.crossprod.scaling import Scaling, choose_scaling
from mixedfast.crossprod.streaming.requirements import Requirements
from mixedfast.data.arrow import CodedTable, Labels
from mixedfast.data.categories import Categorical
from mixedfast.data.frames import ColumnData, Numeric
from mixedfast.data.work_units import BATCH_ROWS
from mixedfast.design.build import (
    bare_columns,
    check_effects,
    check_response,
    contrasts_of,
    formulas,
)
from mixedfast.design.checks import check_labels, check_missing
from mixedfast.design.coded_rows import coded_rows
from mixedfast.design.coding import code_shapes, shape_of
from mixedfast.design.doubtful_values import check_numbers_in_text
from mixedfast.design.grouping import GroupRecipe, number_groups
from mixedfast.design.identifiability import check_term_size
from mixedfast.design.model_frame import Variables, vector
from mixedfast.design.request import Request
from mixedfast.design.types import Design, Recipe
from mixedfast.errors import DataError
from mixedfast.formula.variables import used_names

__all__ = [
    "GlobalFacts",
    "Plan",
    "coded_design",
    "make_plan",
    "sum_batch",
]


@dataclass(frozen=True, eq=False)
class GlobalFacts:
    """Facts about all rows: levels, groups, statistics; no rows.

    Parameters
    ----------
    n, n_dropped : int
        Number of complete rows, and of rows left out.
    missing : dict of str to int
        Missing values by variable.
    numbers : dict of str to str
        The numeric variables, with the name of their NumPy type.
    categories : dict of str to Categorical
        Levels of the variables used as categories.
    groups : dict of tuple of str to dict of str to Categorical
        For each grouping factor the combinations of its columns that occur, one per row.
    typical : dict of str to float
        A value of each numeric variable.
    state : dict of str to dict
        Statistics of the transforms that need them.
    """

    n: int
    n_dropped: int
    missing: Mapping[str, int]
    numbers: Mapping[str, str]
    categories: Mapping[str, Categorical]
    groups: Mapping[tuple[str, ...], Mapping[str, Categorical]]
    typical: Mapping[str, float]
    state: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@stored("Plan", renamed={"scaling": "basis"})
@dataclass(frozen=True, eq=False)
class Plan:
    """Recipe and scaling by which every part is coded and summed.

    Parameters
    ----------
    recipe : Recipe
    na_action : str
    n_rows : int or None
        Number of complete rows; None if they were not counted.
    scaling : Scaling or None
        Shifts and scales of all sums; None until they are chosen.
    trusting : bool
        Whether the source promised that no value is missing. A missing value makes the plan
        invalid.
    """

    recipe: Recipe
    na_action: str
    n_rows: int | None
    scaling: Scaling | None = None
    trusting: bool = False

    @property
    def category_labels(self) -> dict[str, Labels]:
        """Levels of the variables used as categories."""
        return {name: Labels(name, levels) for name, levels in self.recipe.levels.items()}

    @property
    def group_labels(self) -> dict[str, Labels]:
        """Levels of the columns of grouping factors."""
        return {
            name: Labels(name, levels)
            for group in self.recipe.groups
            for name, levels in zip(group.factors, group.part_levels, strict=True)
        }

    def coded_table(self, rows: Any, where: str) -> CodedTable:
        """Code the levels of an Arrow table of complete rows; `where` names it in errors."""
        return CodedTable(rows, self.category_labels, self.group_labels, where)

    def with_scaling(self, design: Design) -> Plan:
        """Choose shifts and scales from a sample of the rows."""
        return replace(self, scaling=choose_scaling(design, look_at_rows=False))


def make_plan(
    needs: Requirements,
    facts: GlobalFacts,
    request: Request,
    counted: bool = True,
) -> Plan:
    """Make the recipe of a model from facts about all rows.

    Parameters
    ----------
    needs : Requirements
    facts : GlobalFacts
    request : Request
        For contrasts, `na_action`, and whether these are all rows of the model.
    counted : bool
        Whether the complete rows were counted.

    Raises
    ------
    DataError, FormulaError, NotIdentifiedError
        As for data in memory: no complete row, missing values with ``na_action="raise"``, a single
        group, ...
    """
    _check_rows(facts, request.na_action)
    whole = counted and request.whole
    spec = needs.spec
    variables = _skeleton(facts)
    check_numbers_in_text(bare_columns(spec, variables), facts.n)
    if whole:
        check_labels(
            {name: variables.columns[name] for f in formulas(spec) for name in used_names(f)},
            facts.n,
        )
    coded_as = contrasts_of(request.contrasts, variables, formulas(spec))
    check_response(spec, variables)

    def coding(formula: str) -> Any:
        shapes = tuple(shape_of(name, variables) for name in used_names(formula))
        return code_shapes(formula, shapes, coded_as, facts.state, facts.typical)

    found = {
        term.factors: _numbered(term.group, term.factors, facts.groups[term.factors])
        for term in spec.random
    }
    canonical: dict[str, np.ndarray] = {}
    parts = []
    for term in spec.random:
        code, group = coding(term.expr), found[term.factors]
        check_effects(term, code)
        if whole:
            check_term_size(term.group, str(term), len(code.names), len(group.levels), facts.n)
        levels = tuple(
            _shared(canonical.setdefault(name, own), own)
            for name, own in zip(group.factors, group.part_levels, strict=True)
        )
        parts.append((code, replace(group, part_levels=levels)))
    parts.sort(key=lambda part: -len(part[1].levels))
    fixed = coding(spec.fixed)
    recipe = Recipe(
        spec=spec,
        fixed=fixed,
        random=tuple(code for code, _ in parts),
        groups=tuple(group for _, group in parts),
        levels={name: column.levels for name, column in facts.categories.items()},
        numeric=frozenset(facts.numbers),
        offset_column=needs.offset,
        kept=tuple(range(len(fixed.names))),
        weights_column=needs.weights,
    )
    return Plan(recipe, request.na_action, facts.n if counted else None)


def _shared(known: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return one array for equal levels of a column in two factors: they are looked up once."""
    return known if len(known) == len(own) and known.tolist() == own.tolist() else own


def _check_rows(facts: GlobalFacts, na_action: str) -> None:
    """Raise DataError when there are no complete rows, or missing values that must not be."""
    check_missing(facts.missing, na_action)
    if facts.n:
        return
    if not facts.missing:
        raise DataError("the data have no rows")
    counts = ", ".join(f"{name!r} ({count})" for name, count in facts.missing.items())
    raise DataError(f"no row is complete: values are missing in {counts}")


def _skeleton(facts: GlobalFacts) -> Variables:
    """Make one row of numbers, and the levels of all categories."""
    columns: dict[str, ColumnData] = {
        name: Numeric(np.ones(1, dtype)) for name, dtype in facts.numbers.items()
    }
    columns |= {
        name: column for name, column in facts.categories.items() if name not in facts.numbers
    }
    return Variables(1, columns, facts.categories)


def _numbered(
    label: str, factors: tuple[str, ...], combinations: Mapping[str, Categorical]
) -> GroupRecipe:
    return number_groups(label, factors, combinations)[1]


# --- one batch --------------------------------------------------------------------------------


def coded_design(
    plan: Plan, table: CodedTable, n_dropped: int, missing: Mapping[str, int]
) -> Design:
    """Make the design of a batch of complete rows, coded by the plan."""
    recipe = plan.recipe
    coded = {name: table.coded(name) for name in recipe.levels}
    names = dict.fromkeys([*recipe.levels, *recipe.numeric])
    variables = Variables(table.n, {name: table.column(name) for name in names}, coded)
    groups = {name: table.grouping(name) for group in recipe.groups for name in group.factors}
    given = {"weights": recipe.weights_column, "offset": recipe.offset_column}
    vectors = {
        label: vector(label, column, table) for label, column in given.items() if column is not None
    }
    return coded_rows(recipe, variables, groups, vectors, n_dropped, missing, table.library)


def sum_batch(
    plan: Plan, table: CodedTable, n_dropped: int, missing: Mapping[str, int]
) -> PartialSums:
    """Sum a batch in the scaling of the plan."""
    worth = BATCH_ROWS if plan.n_rows is None else min(plan.n_rows, BATCH_ROWS)
    return sum_rows(coded_design(plan, table, n_dropped, missing), 1, plan.scaling, worth)
