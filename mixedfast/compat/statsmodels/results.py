"""`MixedLMResults`: a fitted model under the names of statsmodels."""

from __future__ import annotations

import pickle
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from mixedfast._memo import cached_property
from mixedfast.compat.statsmodels import effects
from mixedfast.compat.statsmodels.hypotheses import (
    ContrastResults,
    f_results,
    wald_results,
    z_results,
)
from mixedfast.compat.statsmodels.packed import MixedLMParams
from mixedfast.compat.statsmodels.refused import refused
from mixedfast.compat.statsmodels.summary import Summary
from mixedfast.data.whole_file import whole_file
from mixedfast.errors import DataError, FormulaError, NotDefinedError
from mixedfast.inference.hypotheses.contrasts import hypothesis

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.compat.statsmodels.protocols import Model
    from mixedfast.compat.statsmodels.translate import Translation
    from mixedfast.results import LMMResult

__all__ = ["MixedLMResults"]


class MixedLMResults:
    """The result of ``MixedLM.fit``.

    ``params``, ``bse``, ``cov_params`` hold the fixed effects, then the lower triangle of the
    covariance of the random effects row by row and the variance components, *these divided by*
    ``scale``, as in statsmodels. The summary, ``cov_re`` and ``vcomp`` show them undivided.

    Attributes
    ----------
    mixedfast : LMMResult
        The same fit under the names of mixedfast: Satterthwaite and Kenward-Roger df, profiles,
        bootstrap, plots.
    model : MixedLM
    fe_params : (k_fe,)
    cov_re, cov_re_unscaled : (k_re, k_re)
        The latter divided by ``scale``.
    vcomp : (k_vc,) array
    scale : float
        Residual variance.
    llf, aic, bic : float
        The criteria are NaN under REML, as in statsmodels.
    converged : bool
    hist : list or None
        With ``full_output``: one dict about the search.
    """

    use_t = False

    def __init__(
        self,
        model: Model,
        words: Translation,
        found: LMMResult,
        free: MixedLMParams | None,
        full_output: bool,
    ) -> None:
        self.model = model
        self.mixedfast = found
        self._words = words
        self.freepat = free
        self.reml = found.reml
        self.method = "REML" if found.reml else "ML"
        self.converged = found.converged
        self.nobs = found.nobs
        self.k_fe, self.k_re, self.k_re2, self.k_vc = (
            model.k_fe,
            model.k_re,
            model.k_re2,
            model.k_vc,
        )
        self.scale = found.sigma**2
        self.llf = found.loglik
        self.df_resid = self.nobs - (self.k_fe - len(found.dropped_columns))
        self.hist = [self._history()] if full_output else None
        variances = words.variances(found)
        fixed = found.params.reindex(list(words.fixed)).to_numpy()
        triangle = np.zeros((self.k_re, self.k_re))
        triangle[np.tril_indices(self.k_re)] = variances[: self.k_re2]
        self.vcomp = variances[self.k_re2 :]
        full = triangle + np.tril(triangle, -1).T
        self.params_object = MixedLMParams.from_components(
            fixed, cov_re=full / self.scale, vcomp=self.vcomp / self.scale
        )
        self.params = self._named(self.params_object.get_packed(use_sqrt=False, has_fe=True))
        self.fe_params = self._named(fixed, self.model.data.xnames)
        self.cov_re = self._square(full, self.model.data.exog_re_names)
        self.cov_re_unscaled = self._square(full / self.scale, self.model.data.exog_re_names)
        self._sizes = np.bincount(model.group_codes)

    def _history(self) -> dict[str, Any]:
        found = self.mixedfast.optimization
        return {
            "converged": self.converged,
            "fcalls": found["evaluations"],
            "iterations": found["iterations"],
            "warnflag": 0 if self.converged else 1,
            "message": found["message"],
        }

    def _named(self, values: np.ndarray, names: list[str] | None = None) -> Any:
        """Label numbers: a Series when the model was given pandas, else the array."""
        if not self.model.data.named:
            return values
        import pandas as pd

        return pd.Series(values, index=self.model.data.param_names if names is None else names)

    def _square(self, values: np.ndarray, names: list[str]) -> Any:
        if not self.model.data.named:
            return values
        import pandas as pd

        return pd.DataFrame(values, index=names, columns=names)

    # -- uncertainty -------------------------------------------------------------------------------

    @cached_property
    def _cov(self) -> np.ndarray:
        """Covariance of the parameters, from the observed information; NaN where there is none."""
        table = self.mixedfast.vcov_joint()
        matrix = table.to_numpy()
        columns = list(table.columns)
        count = len(columns) - len(self.mixedfast.varcorr) + 1
        place = {name: i for i, name in enumerate(columns[:count])}
        at = [place.get(name) for name in self._words.fixed]
        at += [None if i is None else count + i for i in self._words.positions(self.mixedfast)]
        known = [i for i, j in enumerate(at) if j is not None]
        there = [j for j in at if j is not None]
        out = np.full((len(at), len(at)), np.nan)
        out[np.ix_(known, known)] = matrix[np.ix_(there, there)]
        return out

    @property
    def normalized_cov_params(self) -> Any:
        """``cov_params() / scale``."""
        return self._square(self._cov / self.scale, self.model.data.param_names)

    def cov_params(
        self,
        r_matrix: Any = None,
        column: Any = None,
        scale: Any = None,
        cov_p: Any = None,
        other: Any = None,
    ) -> Any:
        """Covariance matrix of the parameters, or of linear combinations of them.

        Parameters
        ----------
        r_matrix, other : (r, k) array or (k,) array, optional
            ``r_matrix C other'``; ``other`` is ``r_matrix`` unless given.
        column : int or sequence of int, optional
            Only these rows and columns.
        scale : float, optional
            Instead of the estimate.
        cov_p : (k, k) array, optional
            Instead of the estimated covariance.
        """
        matrix = self._cov if cov_p is None else np.asarray(cov_p)
        if cov_p is None and scale is not None:
            matrix = matrix * (scale / self.scale)
        if column is not None:
            if r_matrix is not None or other is not None:
                raise DataError("cov_params takes either column or r_matrix")
            places = np.asarray(column)
            return matrix[places, places] if places.ndim == 0 else matrix[np.ix_(places, places)]
        if r_matrix is None:
            return self._square(matrix, self.model.data.param_names)
        left = np.asarray(r_matrix, dtype=float)
        right = left if other is None else np.asarray(other, dtype=float)
        return left @ matrix @ right.T

    @cached_property
    def bse(self) -> Any:
        """Standard errors of ``params``; NaN for a variance estimated as zero."""
        return self._named(np.sqrt(np.diag(self._cov)))

    @property
    def bse_fe(self) -> Any:
        """Standard errors of the fixed effects."""
        return self._named(np.asarray(self.bse)[: self.k_fe], self.model.data.xnames)

    @property
    def bse_re(self) -> Any:
        """Standard errors of random parameters as in statsmodels: ``sqrt(scale)`` times ``bse``.

        Kept for scripts that read it. The delta method would multiply by ``scale`` and add the
        uncertainty of ``scale``; ``mixedfast.profile()`` gives reliable intervals.
        """
        values = np.sqrt(self.scale) * np.asarray(self.bse)[self.k_fe :]
        return self._named(values, self.model.data.param_names[self.k_fe :])

    @property
    def tvalues(self) -> Any:
        """``params / bse``."""
        return self.params / self.bse

    @property
    def pvalues(self) -> Any:
        """Two-sided normal p values of ``tvalues``."""
        return self._named(2.0 * stats.norm.sf(np.abs(np.asarray(self.tvalues))))

    def conf_int(self, alpha: float = 0.05) -> Any:
        """Compute normal confidence intervals, (k, 2)."""
        reach = stats.norm.ppf(1.0 - alpha / 2.0) * np.asarray(self.bse)
        limits = np.column_stack((np.asarray(self.params) - reach, np.asarray(self.params) + reach))
        if not self.model.data.named:
            return limits
        import pandas as pd

        return pd.DataFrame(limits, index=self.model.data.param_names)

    # -- likelihood --------------------------------------------------------------------------------

    @property
    def df_modelwc(self) -> int:
        """Number of parameters, the residual variance not counted."""
        return len(self.params)

    @property
    def _count(self) -> float:
        free = (
            np.ones(len(self.params))
            if self.freepat is None
            else self.freepat.get_packed(use_sqrt=False, has_fe=True)
        )
        return float(np.count_nonzero(free)) + 1.0

    @property
    def aic(self) -> float:
        """Akaike's criterion; NaN under REML."""
        return np.nan if self.reml else -2.0 * (self.llf - self._count)

    @property
    def bic(self) -> float:
        """Schwarz's criterion; NaN under REML."""
        return np.nan if self.reml else -2.0 * self.llf + float(np.log(self.nobs)) * self._count

    # -- tests -------------------------------------------------------------------------------------

    def _constraints(self, wanted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read R and q over all parameters; a matrix may cover the fixed effects only."""
        names = self.model.data.param_names
        q = None
        if isinstance(wanted, tuple):
            wanted, q = wanted
        if isinstance(wanted, str) or (
            isinstance(wanted, list) and wanted and isinstance(wanted[0], str)
        ):
            R, found = hypothesis(wanted, names)
        else:
            given = np.atleast_2d(np.asarray(wanted, dtype=float))
            if given.shape[1] == self.k_fe:
                given = np.hstack([given, np.zeros((len(given), len(names) - self.k_fe))])
            R, found = hypothesis(given, names)
        return R, found if q is None else np.broadcast_to(
            np.asarray(q, dtype=float).ravel(), len(R)
        )

    def _estimate(self, R: np.ndarray) -> np.ndarray:
        used = R.any(axis=0)  # a parameter that is NaN matters only where it has a weight
        return R[:, used] @ np.asarray(self.params)[used]

    def _spread(self, R: np.ndarray, cov_p: Any) -> np.ndarray:
        used = R.any(axis=0)
        matrix = self._cov if cov_p is None else np.asarray(cov_p)
        return R[:, used] @ matrix[np.ix_(used, used)] @ R[:, used].T

    def t_test(
        self, r_matrix: Any, use_t: bool | None = None, cov_p: Any = None
    ) -> ContrastResults:
        """Test each linear hypothesis about the parameters separately.

        Parameters
        ----------
        r_matrix : (r, k_fe) array, str such as ``"x1 = 0, x2 = x3"``, or (array, values)
        use_t : bool, optional
            t with ``df_resid`` df instead of normal. For df that mean something see
            ``mixedfast.design.contrast_coding``.
        cov_p : (k, k) array, optional

        Raises
        ------
        FormulaError
            For a wrong number of columns or an unknown name.
        """
        given = r_matrix[0] if isinstance(r_matrix, tuple) else r_matrix
        if not isinstance(given, (str, list)) and np.atleast_2d(given).shape[1] != self.k_fe:
            raise FormulaError(
                f"r_matrix for t_test should have {self.k_fe} columns, one per fixed effect"
            )
        R, q = self._constraints(r_matrix)
        variance = np.diag(self._spread(R, cov_p))
        out = z_results(self._estimate(R) - q, variance, float(self.df_resid) if use_t else None)
        out.effect = self._estimate(R)
        return out

    def wald_test(
        self,
        r_matrix: Any,
        cov_p: Any = None,
        invcov: Any = None,
        use_f: bool | None = None,
        df_constraints: float | None = None,
        scalar: bool = True,
    ) -> ContrastResults:
        """Test all linear hypotheses together: chi-squared, or F with `use_f`.

        Parameters
        ----------
        r_matrix : array with a column for each parameter (or each fixed effect), str, or (array,
        values) cov_p : (k, k) array, optional
            Covariance to use instead of the estimated one.
        invcov : (r, r) array, optional
            Inverse of the covariance of the constraints.
        use_f, df_constraints, scalar
            As in statsmodels.
        """
        R, q = self._constraints(r_matrix)
        spread = self._spread(R, cov_p) if invcov is None else np.linalg.inv(np.asarray(invcov))
        difference = self._estimate(R) - q
        if use_f:
            return f_results(difference, spread, df_constraints, float(self.df_resid), scalar)
        return wald_results(difference, spread, df_constraints, scalar)

    def f_test(self, r_matrix: Any, cov_p: Any = None, invcov: Any = None) -> ContrastResults:
        """Run `wald_test` with the F distribution and ``df_resid`` df."""
        return self.wald_test(r_matrix, cov_p, invcov, use_f=True)

    def wald_test_terms(self) -> pd.DataFrame:
        """Test each term of the formula by chi-squared: ``chi2, P>chi2, df constraint``."""
        import pandas as pd

        if self.model.fixed is None:
            raise NotDefinedError(
                "wald_test_terms needs a model made from a formula: name columns in wald_test "
                "instead"
            )
        rows = {}
        for term, columns in self.model.fixed.terms.items():
            R = np.eye(len(self.params))[columns]
            test = self.wald_test(R)
            rows[term] = (test.statistic, test.pvalue, len(columns))
        return pd.DataFrame.from_dict(
            rows, orient="index", columns=["chi2", "P>chi2", "df constraint"]
        )

    # -- rows --------------------------------------------------------------------------------------

    @cached_property
    def fittedvalues(self) -> Any:
        """Fitted values, random effects included, with the index of the data."""
        return self.model.data.rows(self.mixedfast.fitted)

    @cached_property
    def resid(self) -> Any:
        """``endog - fittedvalues``, with the index of the data."""
        return self.model.data.rows(self.model.endog - np.asarray(self.fittedvalues))

    def predict(self, exog: Any = None, transform: bool = True) -> Any:
        """Predict from the fixed effects alone, as in statsmodels.

        ``mixedfast.predict`` of the result includes random effects.

        Parameters
        ----------
        exog : DataFrame of the formula's variables, or (m, k_fe) array; optional
            The model's own rows unless given.
        transform : bool
            Whether the formula is to be applied to `exog`.
        """
        fixed = np.nan_to_num(np.asarray(self.fe_params))  # a column left out adds nothing
        if exog is None:
            return self.model.predict(fixed)
        columns = (
            self.model.fixed.on(_frame(exog))
            if transform and self.model.fixed is not None
            else exog
        )
        values = np.asarray(columns, dtype=float)
        values = values[:, None] if values.ndim == 1 and self.k_fe == 1 else np.atleast_2d(values)
        if values.shape[1] != self.k_fe:
            raise DataError(
                f"exog has {values.shape[1]} columns; the model has {self.k_fe} fixed effects"
            )
        predicted = values @ fixed
        if not hasattr(columns, "index"):
            return predicted
        import pandas as pd

        return pd.Series(predicted, index=columns.index)

    # -- random effects ----------------------------------------------------------------------------

    @cached_property
    def random_effects(self) -> dict[Any, pd.Series]:
        """Conditional means of the random effects: group -> Series."""
        found = self.mixedfast.ranef()
        slopes = [np.asarray(found[effect.group][effect.name]) for effect in self._words.random]
        components = [
            np.asarray(found[effect.group][effect.name]) for effect in self._words.components
        ]
        return effects.modes(
            self.model, np.array(slopes).reshape(self.k_re, self.model.n_groups).T, components
        )

    @cached_property
    def random_effects_cov(self) -> dict[Any, pd.DataFrame]:
        """Conditional covariances of random effects given the fixed ones: group -> DataFrame."""
        return effects.covariances(self.model, self.params_object, self.scale)

    profile_re = refused(
        "profile_re", "result.mixedfast.profile() gives likelihood profiles of all parameters"
    )
    bootstrap = refused("bootstrap", "result.mixedfast.bootstrap(1000) draws from the fitted model")
    t_test_pairwise = refused(
        "t_test_pairwise", "result.mixedfast.emmeans(factor).pairs() compares all levels"
    )

    # -- page and files ----------------------------------------------------------------------------

    def summary(
        self,
        yname: str | None = None,
        xname_fe: list[str] | None = None,
        xname_re: list[str] | None = None,
        title: str | None = None,
        alpha: float = 0.05,
    ) -> Summary:
        """Summarize the fit on the page of statsmodels; ``str()`` is text, notebooks show tables.

        Parameters
        ----------
        yname : str, optional
        xname_fe, xname_re : list of str, optional
            Names to print instead.
        title : str, optional
        alpha : float
        """
        import pandas as pd

        names = [*self.model.data.param_names]
        for given, part in ((xname_fe, slice(0, self.k_fe)), (xname_re, slice(self.k_fe, None))):
            if given is not None:
                if len(given) != len(names[part]):
                    raise DataError(
                        f"{len(given)} names for {len(names[part])} parameters: "
                        f"{', '.join(names[part])}"
                    )
                names[part] = given
        info = {
            "Model:": "MixedLM",
            "No. Observations:": str(self.nobs),
            "No. Groups:": str(len(self._sizes)),
            "Min. group size:": str(self._sizes.min()),
            "Max. group size:": str(self._sizes.max()),
            "Mean group size:": f"{self._sizes.mean():.1f}",
            "Dependent Variable:": yname or self.model.endog_names,
            "Method:": self.method,
            "Scale:": f"{self.scale:.4f}",
            "Log-Likelihood:": f"{self.llf:.4f}",
            "Converged:": "Yes" if self.converged else "No",
        }
        fixed, se = np.asarray(self.fe_params), np.asarray(self.bse_fe)
        z = fixed / se
        reach = stats.norm.ppf(1.0 - alpha / 2.0) * se
        body = np.column_stack(
            [fixed, se, z, 2.0 * stats.norm.sf(np.abs(z)), fixed - reach, fixed + reach]
        )
        random = np.full((len(names) - self.k_fe, 6), np.nan)
        random[:, 0] = self._words.variances(self.mixedfast)
        random[:, 1] = np.asarray(self.bse_re)
        values = np.vstack([body, random])
        cells = [[f"{x:.3f}" if np.isfinite(x) else "" for x in row] for row in values]
        columns = ["Coef.", "Std.Err.", "z", "P>|z|", f"[{alpha / 2}", f"{1 - alpha / 2}]"]
        estimates = pd.DataFrame(cells, index=names, columns=columns)
        return Summary(title or "Mixed Linear Model Regression Results", info, estimates)

    def remove_data(self) -> None:
        """Remove the rows, so that pickles are small; estimates, tests and the summary stay."""
        self.model.remove_data()
        for name in ("fittedvalues", "resid", "random_effects_cov"):
            self.__dict__.pop(name, None)

    def save(self, fname: str | PathLike[str], remove_data: bool = False) -> None:
        """Pickle the result to a file that `load` reads, as statsmodels does.

        Reading a pickle runs code that is in it. ``result.mixedfast.save(path)`` writes plain data
        instead, for `mixedfast.load`.

        Parameters
        ----------
        fname : path
        remove_data : bool
            Forget the rows first (see `remove_data`).
        """
        if remove_data:
            self.remove_data()
        with whole_file("save", fname) as file:
            pickle.dump(self, file, protocol=5)

    @classmethod
    def load(cls, fname: str | PathLike[str]) -> MixedLMResults:
        """Read a file of `save`.

        The file is a pickle, which can run code: load only files you trust.
        """
        found = pickle.loads(Path(fname).read_bytes())
        if not isinstance(found, cls):
            raise DataError(f"{fname} contains a {type(found).__name__}, not a MixedLMResults")
        return found

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self.model.has_data:  # they need rows, which the pickle of the fit leaves out
            state["fittedvalues"] = self.fittedvalues
        return state


def _frame(exog: Any) -> pd.DataFrame:
    import pandas as pd

    return exog if isinstance(exog, pd.DataFrame) else pd.DataFrame(exog)
