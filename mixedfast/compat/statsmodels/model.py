"""`MixedLM`: the model class of statsmodels, fitted by mixedfast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._validation import check_flag
from mixedfast.api import crossproducts, lmer
from mixedfast.compat.statsmodels import arrays, formulas
from mixedfast.compat.statsmodels.components import Component, Groups, from_formulas, from_matrices
from mixedfast.compat.statsmodels.names import ModelData, parameter_names
from mixedfast.compat.statsmodels.packed import MixedLMParams, VCSpec
from mixedfast.compat.statsmodels.refused import (
    METHODS,
    OPTIMIZER_ARGUMENTS,
    OTHER_MODELS_ARGUMENTS,
    refused,
)
from mixedfast.compat.statsmodels.results import MixedLMResults
from mixedfast.compat.statsmodels.translate import Translation, translate
from mixedfast.errors import DataError, NotDefinedError, warn
from mixedfast.estimation.fit import Fit, solve_at

__all__ = ["MixedLM"]


class MixedLM:
    """A linear mixed model described by arrays.

    Parameters
    ----------
    endog : (n,) array or Series
    exog : (n, k_fe) array or DataFrame
    groups : (n,) array
        Labels; rows with different labels are independent.
    exog_re : (n, k_re) array or DataFrame, optional
        Columns whose coefficients vary between groups; a random intercept when neither this nor
        `exog_vc` is given.
    exog_vc : VCSpec or dict, optional
        Variance components: ``exog_vc[name][group]`` is a matrix whose columns have independent
        effects of equal variance.
    use_sqrt : bool
        No effect: the covariance is always kept as a square root.
    missing : {"none", "drop", "raise"}
        With ``"drop"`` rows with a missing value are left out; otherwise they are an error.

    Warns
    -----
    FutureWarning
        When `exog_vc` is a dict, which statsmodels means to give up.

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> exog = np.column_stack([np.ones(180), data.Days])
    >>> result = MixedLM(data.Reaction.to_numpy(), exog, groups=data.Subject).fit()
    >>> result.fe_params.round(4)
    array([251.4051,  10.4673])
    """

    def __init__(
        self,
        endog: Any,
        exog: Any,
        groups: Any,
        exog_re: Any = None,
        exog_vc: VCSpec | Mapping[str, Any] | None = None,
        use_sqrt: bool = True,
        missing: str = "none",
        **kwargs: Any,
    ) -> None:
        _refuse("MixedLM", kwargs, frozenset(["hasconst", "missing_idx", "model_spec", "formula"]))
        import pandas as pd

        if isinstance(exog_vc, Mapping):
            warn(
                "Using deprecated variance components format: statsmodels takes a VCSpec instead "
                "of a dict",
                FutureWarning,
            )
        X, x_names, x_pandas = arrays.matrix("exog", exog, "x")
        Z, z_names, _ = (
            (None, [], False) if exog_re is None else arrays.matrix("exog_re", exog_re, "x_re")
        )
        y = np.asarray(endog, dtype=float)
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        labels = np.asarray(groups)
        for name, size in (
            ("exog", len(X)),
            ("groups", len(labels)),
            ("exog_re", len(y) if Z is None else len(Z)),
        ):
            if size != len(y):
                raise DataError(f"{name} has {size} rows, endog has {len(y)}")
        keep = arrays.complete(y, X, Z, labels, missing)
        if not keep.all() and exog_vc is not None:
            raise DataError(
                'missing="drop" cannot cut the matrices of exog_vc: leave the rows out first'
            )
        owner = next(
            (part for part in (endog, exog) if isinstance(part, (pd.Series, pd.DataFrame))), None
        )
        y_name = getattr(endog, "name", None)
        self._set(
            y[keep],
            "y" if y_name is None else str(y_name),
            X[keep],
            x_names if x_pandas else arrays.default_names(X[keep], x_names),
            labels[keep],
            "groups",
            None if Z is None else Z[keep],
            z_names,
            lambda found: () if exog_vc is None else from_matrices(exog_vc, found),
            None if owner is None else owner.index[keep],
        )

    def _set(
        self,
        endog: np.ndarray,
        endog_name: str,
        exog: np.ndarray,
        exog_names: list[str],
        groups: np.ndarray,
        group_name: str,
        exog_re: np.ndarray | None,
        re_names: list[str],
        components: Any,
        index: Any,
    ) -> None:
        self.endog, self.endog_names = endog, endog_name
        self.exog, self.exog_names = exog, exog_names
        self.groups = groups
        self._grouped = Groups.of(groups)
        self._group_name = group_name
        self._components: tuple[Component, ...] = components(self._grouped)
        full_names = None
        if exog_re is None and not self._components:
            exog_re = np.ones((len(endog), 1))
            if not re_names:  # statsmodels names it so when it comes without a formula
                re_names = full_names = ["Group Var"]
        self.exog_re = exog_re
        self.k_fe = exog.shape[1]
        self.k_re = 0 if exog_re is None else exog_re.shape[1]
        self.k_re2 = self.k_re * (self.k_re + 1) // 2
        self.k_vc = len(self._components)
        self.k_params = self.k_fe + self.k_re2
        self.nobs = self.n_totobs = len(endog)
        self.reml = True
        self.fixed: formulas.FixedPart | None = None
        self.formula: str | None = None
        full = parameter_names(re_names) if full_names is None else full_names
        self.data = ModelData(exog_names, re_names, full, [c.name for c in self._components], index)

    @classmethod
    def from_formula(
        cls,
        formula: str,
        data: Any,
        re_formula: str | None = None,
        vc_formula: Mapping[str, str] | None = None,
        subset: Any = None,
        use_sparse: bool = False,
        missing: str = "none",
        *,
        groups: Any = None,
        **kwargs: Any,
    ) -> MixedLM:
        """Make a model from formulas and a table.

        Parameters
        ----------
        formula : str
            ``"y ~ x"``; the fixed part, in Python: functions of the caller's namespace may
            be used.
        data : DataFrame
        re_formula : str, optional
            ``"~ x"``: the columns whose coefficients vary between groups; a random intercept unless
            given.
        vc_formula : dict of str to str, optional
            ``{"classroom": "0 + C(classroom)"}``: components with one variance each.
        subset : optional
            Rows to use: booleans, or labels of the index.
        use_sparse : bool
            No effect: components never become matrices.
        missing : {"none", "drop", "raise"}
            Whether to leave out rows with a missing value, or to refuse them.
        groups : str or (n,) array
            Required: a column's name, or labels.
        eval_env : int, mapping or patsy environment, optional
            Where names in the formulas are looked up; -1 for nowhere.

        Returns
        -------
        MixedLM

        Raises
        ------
        FormulaError, DataError
            The message names the formula or the column.
        NotDefinedError
            For a component of several columns with one common variance.

        Examples
        --------
        >>> import mixedfast as mf
        >>> pastes = mf.load_dataset("pastes")
        >>> model = MixedLM.from_formula("strength ~ 1", pastes, re_formula="1",
        ...                              vc_formula={"cask": "0 + C(cask)"}, groups="batch")
        >>> model.fit().vcomp.round(3)
        array([8.434])
        """
        import pandas as pd

        context = formulas.namespace(1, kwargs.pop("eval_env", None))
        _refuse("from_formula", kwargs, frozenset(["use_sqrt", "drop_cols", "hasconst"]))
        if groups is None:
            raise DataError("groups is required: a column's name, or one label per row")
        table = data if isinstance(data, pd.DataFrame) else arrays.frame(data)
        group_name = groups if isinstance(groups, str) else "Group"
        if isinstance(groups, str) and groups not in table.columns:
            raise DataError(
                f"groups={groups!r} is not a column of the data: "
                f"{', '.join(map(str, table.columns[:8]))}"
            )
        labels = np.asarray(table[groups] if isinstance(groups, str) else groups)
        if len(labels) != len(table):
            raise DataError(f"groups has {len(labels)} labels for {len(table)} rows")
        if subset is not None:
            chosen = pd.Series(np.arange(len(table)), index=table.index).loc[subset].to_numpy()
            table, labels = table.iloc[chosen], labels[chosen]
        random = None if re_formula is None else formulas.is_one_sided(re_formula)
        components = {
            name: formulas.is_one_sided(text) for name, text in (vc_formula or {}).items()
        }
        texts = [formula, *([] if random is None else [random]), *components.values()]
        used = [name for text in texts for name in formulas.variables(text, table)]
        keep = formulas.drop_missing(
            table, labels, used, missing, group_name if isinstance(groups, str) else "groups"
        )
        if not keep.all():
            table, labels = table[keep], labels[keep]
        if not len(table):
            raise DataError("no rows are left")
        y, y_name, X, fixed = formulas.evaluate(formula, table, context)
        Z, z_names = None, ([group_name] if vc_formula is None else [])
        if random is not None:
            found = formulas.matrix(random, table, context)
            Z = np.asarray(found, dtype=float)
            z_names = [str(name).replace("Intercept", group_name) for name in found.columns]
        model = cls.__new__(cls)
        model._set(
            y,
            y_name,
            X,
            fixed.names,
            labels,
            group_name if isinstance(groups, str) else "groups",
            Z,
            z_names,
            lambda grouped: from_formulas(components, table, grouped, context),
            table.index,
        )
        model.fixed, model.formula = fixed, formula
        return model

    # -- the data as statsmodels shows them --------------------------------------------------------

    @property
    def group_labels(self) -> list[Any]:
        """The groups, sorted."""
        return self._grouped.names

    @property
    def grouped(self) -> Groups:
        """The groups as codes and labels."""
        return self._grouped

    @property
    def components(self) -> tuple[Component, ...]:
        """The variance components as grouping factors."""
        return self._components

    @property
    def group_codes(self) -> np.ndarray:
        """The place of each row's group in `group_labels`, (n,)."""
        return self._grouped.codes

    @property
    def n_groups(self) -> int:
        return len(self._grouped.labels)

    @cached_property
    def row_indices(self) -> dict[Any, np.ndarray]:
        """The rows of each group."""
        return dict(zip(self.group_labels, self._grouped.rows(), strict=True))

    @cached_property
    def exog_vc(self) -> VCSpec:
        """The variance components as matrices, one per group, computed on access."""
        parts = [component.matrices(self._grouped) for component in self._components]
        return VCSpec(
            [c.name for c in self._components],
            [names for names, _ in parts],
            [mats for _, mats in parts],
        )

    def group_list(self, array: np.ndarray | None) -> list[np.ndarray] | None:
        """Split an array by group."""
        return None if array is None else [np.array(array[rows]) for rows in self._grouped.rows()]

    @property
    def has_data(self) -> bool:
        return self.endog is not None

    def remove_data(self) -> None:
        """Remove the rows."""
        for name in ("endog", "exog", "exog_re", "groups"):
            setattr(self, name, None)
        for name in ("row_indices", "exog_vc"):
            self.__dict__.pop(name, None)
        if self.data.named:
            self.data = replace(self.data, row_labels=self.data.row_labels[:0])
        no_codes = np.empty(0, dtype=np.int64)
        self._grouped = replace(self._grouped, codes=no_codes)
        self._components = tuple(
            replace(component, codes=no_codes, z=None) for component in self._components
        )

    # -- fitting -----------------------------------------------------------------------------------

    def fit(
        self,
        start_params: Any = None,
        reml: bool = True,
        niter_sa: int = 0,
        do_cg: bool = True,
        fe_pen: Any = None,
        cov_pen: Any = None,
        free: MixedLMParams | None = None,
        full_output: bool = False,
        method: str | list[str] | None = None,
        **fit_kwargs: Any,
    ) -> MixedLMResults:
        """Fit the model.

        Parameters
        ----------
        start_params, niter_sa, method, **fit_kwargs
            Accepted without effect: starting values and settings of optimizers, such as
            ``maxiter``, ``gtol`` and ``disp``.
        reml : bool
            REML (the default) or maximum likelihood.
        do_cg : bool
            Must be true.
        fe_pen, cov_pen
            Penalties are not offered.
        free : MixedLMParams, optional
            Ones for parameters to estimate. Offered for ``cov_re`` of ones, or the identity:
            independent random effects.
        full_output : bool
            Whether to keep ``result.hist``.

        Returns
        -------
        MixedLMResults

        Raises
        ------
        NotDefinedError
            For an unknown argument, a penalty, or a pattern of free parameters that is not offered.

        Warns
        -----
        SingularFitWarning, ConvergenceWarning
        FutureWarning
            For ``cov_type``, ``cov_kwds`` and ``use_t``, which have no effect here or in
            statsmodels.
        """
        _refuse("fit", fit_kwargs, OPTIMIZER_ARGUMENTS | OTHER_MODELS_ARGUMENTS)
        unused = sorted(OTHER_MODELS_ARGUMENTS & set(fit_kwargs))
        if unused:
            ending = "s" if len(unused) > 1 else ""
            warn(
                f"Argument{ending} {', '.join(unused)} not used by MixedLM.fit",
                FutureWarning,
            )
        methods = [method] if isinstance(method, str) else list(method or [])
        unknown = [name for name in methods if str(name).lower() not in METHODS]
        if unknown:
            raise NotDefinedError(
                f"method={unknown[0]!r} is not an optimizer of statsmodels: "
                f"{', '.join(sorted(METHODS))}"
            )
        if fe_pen is not None or cov_pen is not None:
            raise NotDefinedError(
                "fe_pen and cov_pen are not offered: mixedfast has no penalized fits"
            )
        if not do_cg:
            raise NotDefinedError(
                "do_cg=False is not offered: model.loglike(params) evaluates the likelihood at "
                "given values"
            )
        self._check_start(start_params)
        words = self._words(self._is_correlated(free))
        check_flag("reml", reml)
        self.reml = bool(reml)
        found = lmer(words.formula, words.data, REML=self.reml, na_action="raise")
        return MixedLMResults(self, words.without_rows(), found, free, full_output)

    fit_regularized = refused("fit_regularized", "mixedfast has no penalized fits")
    score = refused(
        "score", "loglike(params) is the likelihood anywhere, and at the optimum its slope is zero"
    )
    hessian = refused(
        "hessian", "result.cov_params() is the inverse of minus the Hessian at the optimum"
    )
    information = refused(
        "information", "result.cov_params() is the inverse of the information at the optimum"
    )
    get_distribution = refused(
        "get_distribution", "result.mixedfast.simulate() draws responses from the fitted model"
    )

    def _words(self, correlated: bool = True) -> Translation:
        if not self.has_data:
            raise DataError("remove_data() has removed the rows of this model: make it again")
        return translate(
            self.endog,
            self.endog_names,
            self.exog,
            self.exog_names,
            self._grouped,
            self._group_name,
            self.exog_re,
            self.data.exog_re_names,
            self._components,
            correlated,
        )

    def _check_start(self, start_params: Any) -> None:
        if (
            start_params is None
            or isinstance(start_params, MixedLMParams)
            or hasattr(start_params, "cov_re")
        ):
            return
        sizes = (self.k_fe + self.k_re2 + self.k_vc, self.k_re2 + self.k_vc)
        if len(start_params) not in sizes:
            raise DataError(
                f"start_params holds {len(start_params)} numbers, not {sizes[0]} (or {sizes[1]}: "
                "random part only)"
            )

    def _is_correlated(self, free: MixedLMParams | None) -> bool:
        if free is None:
            return True
        pattern = np.asarray(free.cov_re) != 0
        if pattern.shape != (self.k_re, self.k_re):
            raise DataError(f"free.cov_re has shape {pattern.shape} for {self.k_re} random effects")
        if not (np.all(free.fe_params) and np.all(free.vcomp)):
            raise NotDefinedError(
                "free holds zeros in fe_params or vcomp: leave those effects out of the model "
                "instead"
            )
        if pattern.all():
            return True
        if (pattern == np.eye(self.k_re, dtype=bool)).all():
            return False
        raise NotDefinedError(
            "free.cov_re is neither all ones nor the identity: write blocks of random effects as "
            "lmer terms, "
            'mixedfast.lmer("y ~ x + (1 + a | g) + (0 + b | g)", data)'
        )

    # -- at given parameters -----------------------------------------------------------------------

    def loglike(self, params: Any, profile_fe: bool = True) -> float:
        """Compute the log-likelihood at given relative covariances, with the scale profiled out.

        REML or ML according to ``model.reml``.

        Parameters
        ----------
        params : MixedLMParams, or packed as a square root without fixed effects
        profile_fe : bool
            Whether to use the best fixed effects instead of those given.
        """
        if not hasattr(params, "cov_re"):
            params = MixedLMParams.from_packed(
                params, self.k_fe, self.k_re, use_sqrt=True, has_fe=False
            )
        words = self._words()
        at = self._solved(words, params)
        value = -0.5 * at.deviance
        return (
            value
            if profile_fe
            else value - 0.5 * at.nu * math.log1p(_excess(words, at, params.fe_params))
        )

    def get_fe_params(self, cov_re: Any, vcomp: Any, tol: float = 1e-10) -> tuple[np.ndarray, bool]:
        """Compute the best fixed effects at given relative covariances.

        Also return whether their equations are singular.

        Parameters
        ----------
        cov_re : (k_re, k_re) array
            Divided by the scale, as are `vcomp`.
        vcomp : (k_vc,) array
        tol : float
            No effect: columns that others determine are found once, and get NaN.
        """
        words = self._words()
        at = self._solved(
            words, MixedLMParams.from_components(np.zeros(self.k_fe), cov_re=cov_re, vcomp=vcomp)
        )
        by_name = dict(zip(at.cp.x_names, at.beta, strict=True))
        return np.array([by_name.get(name, np.nan) for name in words.fixed]), len(by_name) < len(
            words.fixed
        )

    def get_scale(self, fe_params: Any, cov_re: Any, vcomp: Any) -> float:
        """Compute the best residual variance (REML or ML by ``model.reml``) at given parameters.

        Parameters
        ----------
        fe_params : (k_fe,) array
        cov_re, vcomp
            As for `get_fe_params`.
        """
        words = self._words()
        at = self._solved(
            words, MixedLMParams.from_components(fe_params, cov_re=cov_re, vcomp=vcomp)
        )
        return at.sigma**2 * (1.0 + _excess(words, at, fe_params))

    def _solved(self, words: Translation, params: MixedLMParams) -> Fit:
        return solve_at(
            crossproducts(words.formula, words.data, na_action="raise"),
            words.theta(params),
            self.reml,
        )

    def predict(self, params: Any, exog: Any = None) -> np.ndarray:
        """Compute ``exog @ fe_params``, (n,), from the fixed effects alone.

        Parameters
        ----------
        params : MixedLMParams, or an array that begins with the fixed effects
        exog : (m, k_fe) array, optional
            The model's own unless given.
        """
        beta = params.fe_params if hasattr(params, "fe_params") else np.asarray(params)[: self.k_fe]
        return np.asarray(self.exog if exog is None else exog, dtype=float) @ np.asarray(
            beta, dtype=float
        )


def _excess(words: Translation, at: Fit, fe_params: Any) -> float:
    """Compute the relative increase of the residual sum of squares at given fixed effects."""
    by_name = dict(zip(words.fixed, np.asarray(fe_params), strict=True))
    off = np.array([by_name[name] for name in at.cp.x_names]) - at.beta
    return (
        float(off @ np.linalg.solve(at.vcov, off)) / at.nu
    )  # vcov carries sigma^2 = smallest / nu


def _refuse(where: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise NotDefinedError(f"{where} does not take {', '.join(unknown)}")
