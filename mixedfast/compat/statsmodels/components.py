"""Variance components as grouping factors.

statsmodels describes a component by a matrix for each group, whose columns have independent effects
of one common variance. When every row has at most one nonzero number, the columns are the levels of
a factor nested in the groups and the component is the random term ``(1 | factor)`` or
``(0 + z | factor)``. Only codes of levels are kept, not the matrix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.compat.statsmodels.formulas import is_one_sided, matrix, parsed
from mixedfast.errors import DataError, NotDefinedError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Component", "Groups", "from_formulas", "from_matrices"]

_CODED = re.compile(r"C\(\s*([^\W\d]\w*)\s*\)")


@dataclass(frozen=True, eq=False)
class Groups:
    """The top-level groups: ``codes`` (n,) into ``labels`` (J,), which are sorted."""

    codes: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Groups:
        import pandas as pd

        codes, labels = pd.factorize(values, sort=True)
        return cls(codes.astype(np.int64), np.asarray(labels))

    @property
    def names(self) -> list[Any]:
        """The labels as Python values; dates stay dates."""
        return list(self.labels) if self.labels.dtype.kind in "mM" else list(self.labels.tolist())

    def rows(self) -> list[np.ndarray]:
        """Collect the rows of each group, ascending."""
        order = np.argsort(self.codes, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.codes, minlength=len(self.labels)))[:-1])


@dataclass(frozen=True, eq=False)
class Component:
    """One variance component.

    Parameters
    ----------
    name : str
    codes : (n,) int array
        The effect of each row, 0 .. q-1, group after group.
    owner : (q,) int array
        The group of each effect.
    labels : (q,) array of str
        The column of the matrix of each effect.
    z : (n,) array or None
        The factor of the effect in each row; None when it is always one.
    """

    name: str
    codes: np.ndarray
    owner: np.ndarray
    labels: np.ndarray
    z: np.ndarray | None

    @property
    def is_group_effect(self) -> bool:
        """Whether there is one effect per group, so that the component is a term on the groups."""
        return len(np.unique(self.owner)) == len(self.owner)

    def matrices(self, groups: Groups) -> tuple[list[list[str]], list[np.ndarray]]:
        """Build the column names and the dense matrix of each group, as in `VCSpec`."""
        names, out = [], []
        for g, rows in enumerate(groups.rows()):
            mine = np.flatnonzero(self.owner == g)
            dense = np.zeros((len(rows), len(mine)))
            dense[np.arange(len(rows)), np.searchsorted(mine, self.codes[rows])] = (
                1.0 if self.z is None else self.z[rows]
            )
            names.append([str(label) for label in self.labels[mine]])
            out.append(dense)
        return names, out


def from_formulas(
    formulas: Mapping[str, str], data: pd.DataFrame, groups: Groups, context: Mapping[str, Any]
) -> tuple[Component, ...]:
    """Read the components of ``vc_formula``, sorted by name."""
    return tuple(
        _from_formula(name, formulas[name], data, groups, context) for name in sorted(formulas)
    )


def from_matrices(spec: Any, groups: Groups) -> tuple[Component, ...]:
    """Read the components of ``exog_vc``, sorted by name.

    Parameters
    ----------
    spec : VCSpec (of this package or of statsmodels), or dict of dict
        Of a dict, ``spec[name][group]`` is the matrix of a group.
    """
    rows = groups.rows()
    if hasattr(spec, "mats"):
        found = {name: (spec.colnames[k], spec.mats[k]) for k, name in enumerate(spec.names)}
    else:
        found = {}
        for name, by_group in spec.items():
            lacking = [label for label in groups.names if label not in by_group]
            if lacking:
                raise DataError(f"exog_vc[{name!r}] has no matrix for group {lacking[0]!r}")
            mats = [by_group[label] for label in groups.names]
            names = [list(getattr(m, "columns", map(str, range(m.shape[1])))) for m in mats]
            found[name] = (names, mats)
    return tuple(
        _from_blocks(name, found[name][0], found[name][1], groups, rows) for name in sorted(found)
    )


def _from_formula(
    name: str, formula: str, data: pd.DataFrame, groups: Groups, context: Mapping[str, Any]
) -> Component:
    text = is_one_sided(formula)
    column = _lone_factor(text, data)
    if column is not None:
        import pandas as pd

        levels, labels = pd.factorize(np.asarray(data[column[1]]), sort=True)
        return _nested(name, levels, [f"{column[0]}[{label}]" for label in labels], None, groups)
    found = matrix(text, data, context, "sparse")
    if _same_in_every_group(found.model_spec):
        return _from_sparse(name, found, list(found.model_spec.column_names), groups)
    rows = groups.rows()
    blocks = [matrix(text, data.iloc[part], context, "sparse") for part in rows]
    names = [list(block.model_spec.column_names) for block in blocks]
    return _from_blocks(name, names, blocks, groups, rows)


def _lone_factor(text: str, data: pd.DataFrame) -> tuple[str, str] | None:
    """Find factor and column of ``0 + C(column)``, or of ``0 + column`` with categories."""
    terms = list(parsed(text))
    if len(terms) != 1 or len(terms[0].factors) != 1:
        return None
    factor = terms[0].factors[0]
    coded = _CODED.fullmatch(factor.expr)
    if coded and coded.group(1) in data.columns:
        return factor.expr, coded.group(1)
    if (
        factor.eval_method.value == "lookup"
        and factor.expr in data.columns
        and data[factor.expr].dtype.kind not in "iufc"
    ):
        return factor.expr, factor.expr
    return None


def _same_in_every_group(spec: Any) -> bool:
    """Whether the matrix of each group is a part of that of all rows.

    It is not with centring or a reference level.
    """
    reduced = any(
        f.reduced
        for structure in spec.structure
        for term in structure.scoped_terms
        for f in term.factors
    )
    return not spec.transform_state and not reduced


def _from_blocks(
    name: str, names: Any, blocks: Any, groups: Groups, rows: list[np.ndarray]
) -> Component:
    """Read a component from one matrix per group."""
    from scipy import sparse

    if len(blocks) != len(rows):
        raise DataError(f"component {name!r} has {len(blocks)} matrices for {len(rows)} groups")
    labels = {
        label: i
        for i, label in enumerate(dict.fromkeys(str(c) for columns in names for c in columns))
    }
    where, columns, values = [], [], []
    for g, (block, part, own) in enumerate(zip(blocks, rows, names, strict=True)):
        if block.shape != (len(part), len(own)):
            raise DataError(
                f"component {name!r}, group {groups.labels[g]!r}: the matrix has shape "
                f"{block.shape}, for {len(part)} rows and {len(own)} column names"
            )
        entries = sparse.coo_array(getattr(block, "__wrapped__", block))
        place = np.array([labels[str(c)] for c in own], dtype=int)
        where.append(part[entries.row])
        columns.append(place[entries.col])
        values.append(entries.data)
    shape = (len(groups.codes), len(labels))
    at = (np.concatenate(where), np.concatenate(columns))
    whole = sparse.csr_array((np.concatenate(values).astype(float), at), shape=shape)
    return _from_sparse(name, whole, list(labels), groups)


def _from_sparse(name: str, whole: Any, labels: list[str], groups: Groups) -> Component:
    """Read a component from one matrix over all rows, with columns shared by the groups."""
    from scipy import sparse

    rows = sparse.csr_array(getattr(whole, "__wrapped__", whole))
    rows.eliminate_zeros()
    count = np.diff(rows.indptr)
    if count.max(initial=0) > 1:
        pieces = ", ".join(f"'{name}.{label}': '0 + {label}'" for label in labels[:2])
        raise NotDefinedError(
            f"the variance component {name!r} has several columns with one common variance in a "
            "row, and no random term is like that: write each column as a separate component, "
            f"vc_formula={{{pieces}, ...}} (in lmer: (0 + {' + '.join(labels[:2])} + ... || group))"
        )
    columns, values = np.zeros(len(count), dtype=np.int64), np.zeros(len(count))
    columns[count == 1], values[count == 1] = rows.indices, rows.data
    if len(labels) > 1:  # a row of zeros has no effect: any effect of its group can stand for it
        first = np.full(len(groups.labels), -1)
        filled = np.flatnonzero(count)
        first[groups.codes[filled[::-1]]] = columns[filled[::-1]]
        empty = np.flatnonzero(count == 0)
        columns[empty] = np.maximum(first[groups.codes[empty]], 0)
    return _nested(name, columns, labels, None if (values == 1.0).all() else values, groups)


def _nested(
    name: str, levels: np.ndarray, labels: list[str], z: np.ndarray | None, groups: Groups
) -> Component:
    """Give numbers to the combinations of group and level that occur."""
    width = max(1, len(labels))
    pairs, codes = np.unique(groups.codes * width + levels, return_inverse=True)
    owner, level = np.divmod(pairs, width)
    return Component(name, codes, owner, np.asarray(labels, dtype=object)[level], z)
