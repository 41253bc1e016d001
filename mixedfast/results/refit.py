"""Fitting again: another response, formula, table or criterion. The result itself never changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._progress import Show
from mixedfast._validation import check_count, check_flag, check_seed
from mixedfast.crossprod.level_sums import parts_of_levels, sums_of_levels
from mixedfast.crossprod.new_response import with_response
from mixedfast.data.frames import as_table
from mixedfast.errors import DataError
from mixedfast.estimation.fit import fit_crossproducts
from mixedfast.estimation.fit_rows import fit_rows
from mixedfast.inference.diagnostics.influence import Influence, influence, parts_of_rows
from mixedfast.inference.prediction.re_form import chosen_effects
from mixedfast.inference.prediction.row_arguments import recipe_of, response_values, weights_of_new
from mixedfast.inference.prediction.simulate import simulate_new, simulate_old
from mixedfast.results.estimates import Estimates

if TYPE_CHECKING:
    from typing import Self

    from mixedfast.design.types import Design

__all__ = ["Again"]

#: What a result can be asked for without its rows.
_WITHOUT_ROWS = frozenset(["REML", "engine", "start"])


class Again(Estimates):
    """Methods that make new responses and new results."""

    def simulate(
        self,
        n: int = 1,
        seed: int | None = None,
        re: str | Sequence[str] = "new",
        newdata: Any = None,
        allow_new_levels: bool = False,
        weights: Any = None,
    ) -> np.ndarray:
        """Draw responses from the fitted model, for the rows used or for new ones.

        Parameters
        ----------
        n : int
            Draws.
        seed : int, optional
            The same seed gives the same numbers, and the first draws of a longer run are those of a shorter one.
        re : {"new", "kept"}, str or list of str
            New random effects in every draw, or those of the fit. A formula ``"(1 | school)"`` or grouping factors
            ``["school"]`` keep these and draw the others (lme4's ``re.form``).
        newdata : data frame or mapping of arrays, optional
            Default: the rows used. The response need not be there.
        allow_new_levels : bool
            Where effects are kept: draw effects for groups the fit never saw, instead of refusing them. Where effects are
            drawn, groups may always be new.
        weights : str or (rows,) array, optional
            Of the new rows: their residual variance is sigma^2 / weight. Default: 1.

        Returns
        -------
        (rows, n) array
            NaN for new rows with a missing value.

        Raises
        ------
        ArgumentError
            When `re` keeps some of several correlated effects.
        DataError
            Names the column that is missing, or the level that the fit never saw.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.simulate(3, seed=1).shape
        (180, 3)
        >>> new = {"Days": [0, 5, 9], "Subject": ["somebody"] * 3}
        >>> m.simulate(1000, seed=1, newdata=new).mean(axis=1).round(-1)
        array([250., 300., 340.])
        """
        n = check_count("n", n)
        check_seed(seed)
        check_flag("allow_new_levels", allow_new_levels)
        kept = chosen_effects(
            self._fit.cp, {"new": False, "kept": True}.get(re, re) if isinstance(re, str) else re
        )
        if newdata is None:
            if weights is not None:
                raise DataError(
                    "simulate(weights=...) are of new rows: the rows used keep their own"
                )
            return simulate_old(self._fit, self._rows("simulate without newdata"), n, seed, kept)
        table = as_table(newdata)
        return simulate_new(
            self._fit,
            recipe_of(self._fit.cp),
            table,
            n,
            seed,
            kept,
            allow_new_levels,
            weights_of_new(weights, table),
        )

    def refit(self, y: Any) -> Self:
        """The same model on another response for the same rows; only products with y are summed again.

        Parameters
        ----------
        y : (n,) array or series
            One number for each row used, or for each row of the data (rows left out of the fit are left out again). On the
            scale of the model's response: where that is ``log(y)``, logarithms.

        Returns
        -------
        LMMResult
            A new one.

        Raises
        ------
        DataError
            When there are not as many values as rows, or some are missing or infinite.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.refit(m.simulate(seed=1)).params.round(2).to_dict()
        {'Intercept': 242.31, 'Days': 9.05}
        """
        design = self._rows("refit")
        other = replace(design, y=response_values(y, design))
        cp = with_response(self._fit.cp, other)
        found = fit_rows(cp, other, self._fit.reml, engine=self._fit.engine_wanted)
        made = type(self)(found, other)
        made.library = self.library
        made._warn()
        return made

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> Self:
        """Fit again with some things changed, everything else as in the call that made this result.

        Parameters
        ----------
        formula : str, optional
            May use R's dots: ``". ~ . + x"``, ``"~ . - (x | g) + (1 | g)"``, ``"log(.) ~ ."``.
        data : data frame or mapping of arrays, optional
            Another table.
        **changes
            Other arguments of the call: ``REML``, ``weights``, ``offset``, ``contrasts``, ``na_action``, ``engine``, ...

        Returns
        -------
        LMMResult
            A new one. A change of ``REML``, ``engine`` or ``start`` alone reads no rows.

        Raises
        ------
        DataError
            When rows are needed and the result has none: give `data`.
        FormulaError, TypeError
            When the formula cannot be read, or there is no such argument.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.update(". ~ . - (Days | Subject) + (1 | Subject)").formula
        'Reaction ~ Days + (1 | Subject)'
        >>> round(m.update(REML=False).criterion, 4)
        1751.9393
        """
        if formula is None and data is None and changes.keys() <= _WITHOUT_ROWS:
            start = changes.get("start")
            found = fit_crossproducts(
                self._fit.cp,
                changes.get("REML", self._fit.reml),
                None if start is None else np.asarray(start),
                changes.get("engine", self._fit.engine_wanted),
                remainder=self._fit.remainder,
            )
            made = type(self)(found, self._design, self._stream)
            made._call = (
                None
                if self._call is None
                else replace(self._call, arguments={**self._call.arguments, **changes})
            )
            made._warn()
        else:
            made = self._again("lmer", formula, data, changes)
        made.library = self.library if data is None else made.library
        return made

    def influence(self, group: str | None = None, progress: Show = "auto") -> Influence:
        """Leave out one group at a time and see what moves.

        A group's rows are summed once and taken from the cross-products of all rows; what is left is fitted again, variances
        included. The result itself does not change.

        Parameters
        ----------
        group : str, optional
            A grouping factor of the model, or another column of the data. Default: every row on its own. Of a stream only a
            grouping factor in which all others are nested: it is read once more, and summed by level.
        progress : {"auto", True, False}
            Show a bar. Ctrl-C keeps the levels that are done.

        Returns
        -------
        Influence
            With tables ``params``, ``dfbeta``, ``dfbetas``, ``variances``, ``cooks_distance`` and ``to_frame()``.

        Raises
        ------
        ArgumentError
            When `group` is no name.
        DataError
            When there is no such column, or no rows; of a stream also when another factor is crossed with this one.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.influence("Subject").cooks_distance.round(3).nlargest(2).to_dict()
        {'309': 0.149, '335': 0.129}
        """
        cp = self._fit.cp
        if self._stream is not None:
            g = self._factor(group)
            name, labels = cp.groups[g].name, np.asarray(cp.groups[g].levels)
            parts = parts_of_levels(cp, g, sums_of_levels(cp, self._designs("influence"), g))
        else:
            design = self._rows("influence")
            name, codes, labels = self._levels(group, design)
            parts = parts_of_rows(cp, design, codes, len(labels))
        return replace(influence(self._fit, parts, name, labels, progress), library=self.library)

    def _factor(self, group: str | None) -> int:
        """The place of a grouping factor among those of the model, by its name."""
        names = [own.name for own in self._fit.cp.groups]
        wanted = sorted(part.strip() for part in (group or "").split(":"))
        for g, name in enumerate(names):
            if sorted(name.split(":")) == wanted:
                return g
        raise DataError(
            f"influence({'' if group is None else repr(group)}) of rows that are not in memory: only a grouping factor "
            f"of the model can be left out, level by level ({', '.join(names)}), no single rows and no other groups"
        )

    def _levels(self, group: str | None, design: Design) -> tuple[str, np.ndarray, np.ndarray]:
        """A factor's name, the level of each row used, and the levels' labels."""
        if group is None:
            labels = np.arange(design.n) if design.kept_rows is None else design.kept_rows
            return "row", np.arange(design.n), labels
        return self._levels_of(group, design, "influence")
