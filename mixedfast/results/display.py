"""How a result is shown: pages, plain tables, pictures, a report."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

from mixedfast._validation import check_flag, check_path
from mixedfast.data.frames_out import beside, in_callers_library
from mixedfast.inference.ddf.methods import method
from mixedfast.results.base import Fitted

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.report.plots import Plots
    from mixedfast.report.text import Summary
    from mixedfast.results.bootstrap import Bootstrap
    from mixedfast.results.lmm import LMMResult
    from mixedfast.results.profile import Profile

__all__ = ["Shown"]


class Shown(Fitted):
    """Methods that hand a result to the report rooms, which are imported when they are needed."""

    def _whole(self) -> LMMResult:
        """The whole result, of which this class is a part, with pandas tables."""
        return cast("LMMResult", self._in_pandas())

    def summary(self, ddf: DDF | None = "satterthwaite") -> Summary:
        """The page lme4 users know: ``str()`` is text, notebooks show a table.

        Parameters
        ----------
        ddf : str, TraceMethod or None
            As for `coef_table`; None leaves tests out.

        Returns
        -------
        Summary
            With ``to_markdown()`` and ``to_latex()``.

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

        if ddf is not None:
            method(ddf)
        return Summary(self._whole(), ddf)

    def to_html(
        self,
        path: str | PathLike[str] | None = None,
        title: str | None = None,
        ddf: str = "satterthwaite",
        pictures: bool = True,
        profile: Profile | None = None,
        bootstrap: Bootstrap | None = None,
    ) -> str | None:
        """A report in one HTML file: tables, pictures, how the fit went, and what the words mean.

        Nothing in it is loaded from elsewhere and no script runs.

        Parameters
        ----------
        path : str or path, optional
            Where to write it. Without one, the HTML is returned.
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
        page = report_html(self._whole(), title, ddf, pictures, profile, bootstrap)
        if target is None:
            return page
        target.write_text(page, encoding="utf-8")
        return None

    @property
    def plot(self) -> Plots:
        """Pictures, drawn with matplotlib (``pip install 'mixedfast[plots]'``): ``m.plot.residuals()`` and others.

        ``residuals``, ``qq``, ``caterpillar``, ``slopes``, ``shrinkage``, ``residuals_by_group``, ``profile_zeta`` and
        ``bootstrap_densities`` draw; ``m.plot.data(name)`` gives the numbers behind a picture.
        """
        from mixedfast.report.plots import Plots

        return Plots(cast("LMMResult", self))

    @in_callers_library
    def tidy(
        self,
        effects: str | Sequence[str] = "fixed",
        conf_int: bool = False,
        level: float = 0.95,
        method: str = "wald",
        ddf: DDF = "satterthwaite",
        seed: int | None = None,
    ) -> pd.DataFrame:
        """One row an estimate, as broom.mixed's ``tidy``.

        Parameters
        ----------
        effects : str or sequence of str
            ``"fixed"`` (coefficients and tests), ``"ran_pars"`` (standard deviations and correlations),
            ``"ran_vals"`` (conditional modes and their standard deviations), ``"ran_coefs"`` (coefficients of each group).
        conf_int : bool
            Add ``conf_low`` and ``conf_high``.
        level : float
        method : {"wald", "profile", "boot"}
            How intervals of "fixed" and "ran_pars" are found. "wald" has none for "ran_pars": they stay missing.
        ddf : str or TraceMethod
            As for `coef_table`.
        seed : int, optional
            Of the bootstrap.

        Returns
        -------
        DataFrame
            Columns, as far as the effects have them: ``effect, group, level, term, estimate, std_error, df, statistic,
            p_value, conf_low, conf_high``.

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

        return tidy(self._whole(), effects, conf_int, level, method, ddf, seed)

    @in_callers_library
    def glance(self) -> pd.DataFrame:
        """One row a model: what one compares models by.

        Returns
        -------
        DataFrame
            ``nobs, sigma, loglik, aic, bic, criterion, reml, df_model, df_residual, icc, r2_marginal, r2_conditional,
            converged, singular``.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.glance()[["nobs", "aic", "converged"]].round(2)
           nobs      aic  converged
        0   180  1755.63       True
        """
        from mixedfast.report.tidy import glance

        return glance(self._whole())

    @in_callers_library
    def augment(self, data: Any = None) -> pd.DataFrame:
        """One row a row of the data used, with what the model says of it.

        Parameters
        ----------
        data : data frame, optional
            The table the model was fitted to: all its columns are kept, also those the model does not use. Without it, the
            variables of the model.

        Returns
        -------
        DataFrame
            The variables and ``.fitted``, ``.resid``, ``.hat`` (leverage), ``.cooksd`` (Cook's distance), ``.fixed`` (the
            fixed part alone), ``.mu`` (the conditional mean; the same as ``.fitted`` in a linear model), and ``.offset`` and
            ``.weights`` if there are any.
            Rows left out for missing values are not in it; the index, or the column ``row``, tells which are.

        Raises
        ------
        DataError
            When the result holds no rows, or `data` are not those of the fit.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> m.augment().head(2).round(2)[["Reaction", "Days", "Subject", ".fitted", ".resid"]]
             Reaction  Days Subject  .fitted  .resid
        row
        0      249.56     0     308   253.66   -4.10
        1      258.70     1     308   273.33  -14.63
        """
        from mixedfast.report.tidy import augment_columns, model_frame

        view = self._whole()
        if data is None:
            return model_frame(view).assign(**augment_columns(view))
        design = self._rows("augment")
        return beside(data, design.kept_rows, augment_columns(view), of=design.n + design.n_dropped)
