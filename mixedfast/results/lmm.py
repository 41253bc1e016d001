"""`LMMResult`: a fitted mixed model. Methods are thin; the numbers come from the rooms below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mixedfast._progress import Show
from mixedfast._stored import stored
from mixedfast._validation import check_flag, check_level, check_names, check_path, check_threads
from mixedfast.crossprod.level_sums import parts_of_levels, sums_of_levels
from mixedfast.crossprod.new_response import with_response
from mixedfast.crossprod.sub_model import sub_model
from mixedfast.data.frames_out import returns_callers_tables, to_library
from mixedfast.errors import DataError
from mixedfast.estimation.fit import fit_crossproducts
from mixedfast.estimation.fit_rows import fit_rows
from mixedfast.formula.update import update_formula
from mixedfast.inference.ddf.methods import method as ddf_method
from mixedfast.inference.diagnostics.influence import influence, parts_of_rows
from mixedfast.inference.hypotheses.anova import TermTest
from mixedfast.inference.hypotheses.elimination import eliminate
from mixedfast.inference.hypotheses.ranova import RandomTermTest
from mixedfast.results import tables
from mixedfast.results.display import Display, written
from mixedfast.results.estimates import Estimates
from mixedfast.results.fixed_effects import STORED_FIELDS
from mixedfast.results.influence import Influence
from mixedfast.results.mixed_tests import MixedTests
from mixedfast.results.new_rows import NewRows
from mixedfast.results.refit import Refit, is_many
from mixedfast.results.robust import df_method_with
from mixedfast.results.step import Step
from mixedfast.results.tabled import tabled

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd

    from mixedfast.design.types import Design
    from mixedfast.estimation.fit import Fit
    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.report.plots import Plots
    from mixedfast.report.text import Summary
    from mixedfast.results.bootstrap import Bootstrap
    from mixedfast.results.profile import Profile
    from mixedfast.results.response_fits import ResponseFits

__all__ = ["LMMResult"]

#: Arguments of `mixedfast.lmer` whose change needs no rows.
_WITHOUT_ROWS = frozenset(["REML", "engine", "start"])


@stored("LMMResult", fields=({"fit": "Fit", **STORED_FIELDS},), whole=True)
class LMMResult(Estimates, Refit, MixedTests, NewRows, Display):
    """A fitted linear mixed model.

    Made by `mixedfast.lmer` (from a table) or `mixedfast.fit` (from cross-products). Pickles and
    files hold no rows until ``keep_rows`` is set to True.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> m.params.round(4).to_dict()
    {'Intercept': 251.4051, 'Days': 10.4673}
    >>> round(m.criterion, 4)
    1743.6283
    """

    _function = "lmer"
    _instead = MappingProxyType(
        {
            "refit": "call lmer with the other column as the response",
            "simulate without newdata": "give newdata= (bootstrap() needs no rows)",
            "predict without newdata": "give newdata=, or call augment_to() for the fitted values",
            "influence": "call lmer on the rows",
            "slopes": "call lmer on a table in memory",
            "residuals_by_group": "call lmer on a table in memory",
        }
    )

    def __repr__(self) -> str:
        kind = "REML" if self.reml else "ML"
        groups = ", ".join(f"{name} {count}" for name, count in self.n_groups.items())
        return (
            f"<LMMResult {self.formula}; {kind}; {self.nobs} rows; groups: {groups}; "
            f"criterion {self.criterion:.4f}>"
        )

    # -- other fits --------------------------------------------------------------------------------

    @overload
    def refit(self, y: np.ndarray | pd.Series) -> Self: ...
    @overload
    def refit(
        self, y: pd.DataFrame, threads: int | None = ..., progress: Show = ...
    ) -> ResponseFits: ...
    def refit(
        self, y: Any, threads: int | None = None, progress: Show = "auto"
    ) -> Self | ResponseFits:
        """Fit the same model to another response for the same rows, or to many.

        Only products with y are summed again. Many responses are one call: small models are
        searched by compiled code, on all threads.

        Parameters
        ----------
        y : (n,) array or series; table or (n, R) array
            One number for each row used, or for each row of the data (rows left out of the fit are
            left out again). On the scale of the model's response: where that is ``log(y)``,
            logarithms. A table, or an array with several columns, has one response per column;
            missing values may differ by column.
        threads : int, optional
            For many responses.
        progress : {"auto", True, False}
            For many responses.

        Returns
        -------
        LMMResult or ResponseFits
            A new result; a table for many responses (``to_frame()``), whose ``each[i]`` is the full
            result of one. Ctrl-C keeps the responses that are done.

        Raises
        ------
        DataError
            When there are not as many values as rows, or some are infinite, or missing in a single
            response.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.refit(m.simulate(seed=1)).params.round(2).to_dict()
        {'Intercept': 242.31, 'Days': 9.05}
        >>> many = m.refit(m.simulate(1000, seed=1))
        >>> many
        <ResponseFits Reaction ~ Days + (Days | Subject); 1000 responses; 22 singular;
        0 not converged; 0 with an error>
        >>> many.params.mean().round(1).to_dict()
        {'Intercept': 251.5, 'Days': 10.5}
        >>> many.each[0].params.round(2).to_dict()
        {'Intercept': 242.31, 'Days': 9.05}
        """
        if not is_many(y):
            return super().refit(y)
        from mixedfast.results.response_fits import refit_responses

        return refit_responses(self, y, check_threads(threads), progress)

    def _fit_response(self, design: Design) -> Fit:
        cp = with_response(self._fit.cp, design)
        return fit_rows(cp, design, self._fit.reml, engine=self._fit.engine_wanted)

    def _without_rows(self, changes: dict[str, Any]) -> Self | None:
        """Fit the cross-products again, with another criterion, engine or start."""
        if not changes.keys() <= _WITHOUT_ROWS:
            return None
        start = changes.get("start")
        found = fit_crossproducts(
            self._fit.cp,
            changes.get("REML", self._fit.reml),
            None if start is None else np.asarray(start),
            changes.get("engine", self._fit.engine_wanted),
            remainder=self._fit.remainder,
        )
        made = type(self)(found, self._design, self._stream)
        made._index, made._padded = self._index, self._padded
        if self._call is not None:
            made._call = replace(self._call, arguments={**self._call.arguments, **changes})
        made._warn()
        return made

    def _from_sums(self, formula: str, changes: dict[str, Any]) -> Self | None:
        if not changes.keys() <= _WITHOUT_ROWS:
            return None
        part = sub_model(self._fit.cp, update_formula(self.formula, formula))
        start = changes.get("start")
        made = type(self)(
            fit_crossproducts(
                part,
                changes.get("REML", self._fit.reml),
                None if start is None else np.asarray(start),
                changes.get("engine", self._fit.engine_wanted),
            )
        )
        made._warn()
        return made

    def step(
        self,
        alpha_random: float = 0.1,
        alpha_fixed: float = 0.05,
        ddf: DDF = "satterthwaite",
        keep: Sequence[str] = (),
    ) -> Step[Self]:
        """Eliminate random terms, then fixed terms, one at a time, as ``step`` of lmerTest.

        In each round the term with the largest p value is left out, if that is above alpha. Terms
        of which another term is an interaction are not tested, and the last random term stays.

        p values of a model found in this way are too small and its intervals too narrow: they
        ignore the selection.

        Parameters
        ----------
        alpha_random, alpha_fixed : float
            Of likelihood-ratio tests (see `ranova`) and F tests (see `drop1`).
        ddf : str or TraceMethod
        keep : sequence of str
            Terms that stay, by their names in the tables of `ranova` and `drop1`.

        Returns
        -------
        Step
            With ``model``, ``random`` and ``fixed``. The model has rows if this result has them in
            memory and no row was left out for a missing value; all smaller models are fitted to
            the rows of this one.

        Raises
        ------
        DataError
            When `keep` names no term.

        Examples
        --------
        >>> import mixedfast as mf
        >>> sleep = mf.load_dataset("sleepstudy")
        >>> found = mf.lmer("Reaction ~ Days + I(Days**2) + (Days | Subject)", sleep).step()
        >>> found.model.formula
        'Reaction ~ Days + (Days | Subject)'
        >>> found.fixed.eliminated.to_dict()
        {'I(Days ** 2)': 1, 'Days': 0}
        """
        for name, alpha in (("alpha_random", alpha_random), ("alpha_fixed", alpha_fixed)):
            check_level(alpha, name)
        found = eliminate(self._fit, alpha_random, alpha_fixed, ddf, check_names("keep", keep))
        in_memory = self._design is not None and self._call is not None and not self.n_dropped
        formula = found.fit.cp.meta.formula
        model = self.update(formula) if in_memory else type(self)(found.fit)
        model.library = self.library
        random = tables.numbered(found.random, RandomTermTest)
        fixed = tables.numbered(found.fixed, TermTest)
        return Step(model, to_library(random, self.library), to_library(fixed, self.library))

    def influence(self, group: str | None = None, progress: Show = "auto") -> Influence:
        """Leave out one group at a time and fit again.

        The rows of a group are summed once and subtracted from the cross-products of all rows. The
        rest is fitted again, variances included. The result itself does not change.

        Parameters
        ----------
        group : str, optional
            A grouping factor of the model, or another column of the data. Default: every row on its
            own. Of a stream only a grouping factor in which all others are nested: the stream is
            read once more, and summed by level.
        progress : {"auto", True, False}
            Show a bar. Ctrl-C keeps the levels that are done.

        Returns
        -------
        Influence
            With tables ``params``, ``dfbeta``, ``dfbetas``, ``variances``, ``cooks_distance`` and
            ``to_frame()``.

        Raises
        ------
        ArgumentError
            When `group` is not a name.
        DataError
            When there is no such column, or no rows; of a stream also when another factor is
            crossed with this one.

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
        found = influence(self._fit, parts, name, labels, progress)
        return tabled(Influence, found, self.library)

    def _factor(self, group: str | None) -> int:
        """Return the place of a grouping factor among those of the model, by its name."""
        names = [own.name for own in self._fit.cp.groups]
        wanted = sorted(part.strip() for part in (group or "").split(":"))
        for g, name in enumerate(names):
            if sorted(name.split(":")) == wanted:
                return g
        shown = "" if group is None else repr(group)
        raise DataError(
            f"influence({shown}): the rows are not in memory, so only levels of a grouping factor "
            f"of the model ({', '.join(names)}) can be left out, not single rows or other groups"
        )

    def _levels(self, group: str | None, design: Design) -> tuple[str, np.ndarray, np.ndarray]:
        """Return a factor's name, the level of each row used, and the labels of the levels."""
        if group is None:
            labels = np.arange(design.n) if design.kept_rows is None else design.kept_rows
            return "row", np.arange(design.n), labels
        return self._levels_of(group, design, "influence")

    # -- display -----------------------------------------------------------------------------------

    def _measures(self) -> dict[str, float]:
        icc, r2 = self.icc(), self.r2()
        return {
            "df_residual": self.nobs - self.df_model,
            "icc": icc.adjusted,
            "r2_marginal": r2.marginal,
            "r2_conditional": r2.conditional,
            "converged": self.converged,
            "singular": self.is_singular,
        }

    def summary(
        self,
        ddf: DDF | None = "satterthwaite",
        vcov: str | None = None,
        cluster: str | None = None,
    ) -> Summary:
        """Summarize the fit on a page like that of lme4 and lmerTest.

        Parameters
        ----------
        ddf : str, TraceMethod or None
            As for `coef_table`; None leaves tests out.
        vcov, cluster : str, optional
            As for `coef_table`.

        Returns
        -------
        Summary
            ``str()`` gives text, a notebook shows a table, ``to_markdown()`` and ``to_latex()`` the
            rest.

        Raises
        ------
        NotDefinedError
            When the df method is unknown or not defined for this design.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> print(str(m.summary()).splitlines()[0])
        Linear mixed model fit by REML; t tests with Satterthwaite's degrees of freedom
        >>> m.summary("kenward-roger").to_markdown().splitlines()[0]
        "Linear mixed model fit by REML; t tests with Kenward and Roger's degrees of freedom  "
        """
        from mixedfast.report.text import Summary

        if ddf is not None or vcov is not None:
            ddf = df_method_with(self, "" if ddf is None else ddf, vcov, cluster)
            ddf_method(ddf)
        return Summary(self._in_pandas(), ddf)

    def to_html(
        self,
        path: str | PathLike[str] | None = None,
        title: str | None = None,
        ddf: str = "satterthwaite",
        pictures: bool = True,
        profile: Profile | None = None,
        bootstrap: Bootstrap | None = None,
    ) -> str | None:
        """Write a report to one HTML file: tables, pictures, convergence, and a glossary.

        The file loads nothing from elsewhere and runs no script.

        Parameters
        ----------
        path : str or path, optional
            The file. Without one, the HTML is returned.
        title : str, optional
            The formula by default.
        ddf : str
            As for `coef_table`.
        pictures : bool
            Draw them (with matplotlib; without it the report says that there are none).
        profile, bootstrap : optional
            From ``m.profile()`` and ``m.bootstrap()``: their intervals and pictures are shown too.

        Returns
        -------
        str or None

        Raises
        ------
        NotDefinedError
            When the method of degrees of freedom is unknown or not defined for this design.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> page = m.to_html(title="Sleep", pictures=False)
        >>> "<h1>Sleep</h1>" in page
        True
        """
        from mixedfast.report.html import report_html

        check_flag("pictures", pictures)
        target = None if path is None else check_path("to_html", path)
        return written(
            report_html(self._in_pandas(), title, ddf, pictures, profile, bootstrap), target
        )

    @property
    def plot(self) -> Plots:
        """Pictures, drawn with matplotlib: ``m.plot.residuals()`` and others.

        ``residuals``, ``qq``, ``caterpillar``, ``slopes``, ``shrinkage``, ``residuals_by_group``,
        ``profile_zeta`` and ``bootstrap_densities`` draw; ``m.plot.data(name)`` gives the numbers
        of a picture.
        """
        from mixedfast.report.plots import Plots

        return Plots(self._of_used_rows())

    @returns_callers_tables
    def tidy(
        self,
        effects: str | Sequence[str] = "fixed",
        conf_int: bool = False,
        level: float = 0.95,
        method: str = "wald",
        ddf: DDF = "satterthwaite",
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Return one row per estimate, as ``tidy`` of broom.mixed in R.

        Parameters
        ----------
        effects : str or sequence of str
            ``"fixed"`` (coefficients and tests), ``"ran_pars"`` (standard deviations and
            correlations), ``"ran_vals"`` (conditional modes and their standard deviations),
            ``"ran_coefs"`` (coefficients of each group).
        conf_int : bool
            Add ``conf_low`` and ``conf_high``.
        level : float
        method : {"wald", "profile", "boot"}
            Intervals of "fixed" and "ran_pars". "wald" has none for "ran_pars": they stay missing.
        ddf : str or TraceMethod
            As for `coef_table`.
        seed : int, optional
            Of the bootstrap.

        Returns
        -------
        DataFrame
            Columns, as far as the effects have them: ``effect, group, level, term, estimate,
            std_error, df, statistic, p_value, conf_low, conf_high``.

        Raises
        ------
        DataError
            For unknown effects, method or level.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.tidy("ran_pars").round(3)
             effect     group                 term  estimate
        0  ran_pars   Subject        sd__Intercept    24.740
        1  ran_pars   Subject             sd__Days     5.922
        2  ran_pars   Subject  cor__Intercept.Days     0.066
        3  ran_pars  Residual      sd__Observation    25.592
        """
        from mixedfast.report.tidy import tidy

        return tidy(self._in_pandas(), effects, conf_int, level, method, ddf, seed)
