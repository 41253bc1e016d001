"""A mixed model as an estimator of scikit-learn, for pipelines and cross-validation.

scikit-learn is needed only here: ``pip install scikit-learn``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.api import lm, lmer
from mixedfast.data.frames import as_table
from mixedfast.errors import DataError, FormulaError, MissingLibraryError
from mixedfast.formula.parser import parse, plain_name
from mixedfast.results import LMMResult

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise MissingLibraryError(
        "mixedfast.sklearn needs scikit-learn: pip install scikit-learn"
    ) from error

if TYPE_CHECKING:
    from mixedfast.results import OLSResult

__all__ = ["MixedRegressor"]

#: The name of the response where the formula has none.
_RESPONSE = "y"


class MixedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Linear mixed model with the interface of scikit-learn.

    Parameters
    ----------
    formula : str
        As for `mixedfast.lmer`, with or without a response: ``"~ ses + (1 | school)"``. The
        response is the `y` of `fit`. Columns are those of the table X; the columns of an array
        are called ``x0``, ``x1``, ... Without random terms, the model is a linear regression.
    groups : str, optional
        The name of a grouping factor that comes as an argument ``groups`` of `fit` and `predict`
        instead of as a column of X. With metadata routing: ``set_fit_request(groups=True)``.
    REML : bool
    offset : str, optional
        The name of a column of X.
    contrasts : dict, optional
    na_action : {"omit", "raise"}
    engine : {"auto", "block", "cholmod", "krylov"}
        As for `mixedfast.lmer`.
    re : bool
        Whether predictions contain the effects of known groups. New groups, and rows without the
        grouping factor, are predicted by the fixed part.

    Attributes
    ----------
    model_ : LMMResult or OLSResult
        The fitted model, with all its methods.
    feature_names_in_ : (n_features,) array of str
    n_features_in_ : int

    Examples
    --------
    >>> import mixedfast as mf
    >>> from mixedfast.sklearn import MixedRegressor
    >>> students = mf.load_dataset("hsb")
    >>> model = MixedRegressor("~ ses + (1 | school)").fit(students, students["math"])
    >>> model.model_.params.round(3).to_dict()
    {'Intercept': 12.657, 'ses': 2.39}
    >>> model.predict(students[:2]).round(2)
    array([7.37, 9.62])
    """

    def __init__(
        self,
        formula: str = "~ 1",
        *,
        groups: str | None = None,
        REML: bool = True,
        offset: str | None = None,
        contrasts: Mapping[str, Any] | None = None,
        na_action: str = "omit",
        engine: str = "auto",
        re: bool = True,
    ) -> None:
        self.formula = formula
        self.groups = groups
        self.REML = REML
        self.offset = offset
        self.contrasts = contrasts
        self.na_action = na_action
        self.engine = engine
        self.re = re

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> MixedRegressor:
        """Fit the model.

        Parameters
        ----------
        X : data frame or (n, p) array
        y : (n,) array
        groups : (n,) array, optional
            The grouping factor that the parameter `groups` names.
        sample_weight : (n,) array, optional
            Precision weights.

        Returns
        -------
        MixedRegressor
            Itself.

        Raises
        ------
        FormulaError, DataError, NotIdentifiedError
            As for `mixedfast.lmer`.
        """
        columns = _columns(X)
        response, formula = _with_response(self.formula, columns)
        n = as_table(columns).n
        values = np.asarray(y)
        if values.shape not in ((n,), (n, 1)):
            raise DataError(f"y has the shape {values.shape}, and X has {n} rows")
        data = self._with_groups(columns, groups) | {response: values.reshape(-1)}
        given: dict[str, Any] = {
            "weights": None if sample_weight is None else np.asarray(sample_weight),
            "offset": self.offset,
            "contrasts": self.contrasts,
            "na_action": self.na_action,
        }
        self.model_: LMMResult | OLSResult
        if parse(formula, require_random=False).random:
            self.model_ = lmer(formula, data, self.REML, engine=self.engine, **given)
        else:
            self.model_ = lm(formula, data, **given)
        self.feature_names_in_ = np.array(list(columns), dtype=object)
        self.n_features_in_ = len(columns)
        return self

    def predict(self, X: Any, groups: Any = None) -> np.ndarray:
        """Predict the response, (n,).

        Parameters
        ----------
        X : data frame or (n, p) array
        groups : (n,) array, optional
            As for `fit`.

        Returns
        -------
        (n,) array
        """
        check_is_fitted(self, "model_")
        columns = self._with_groups(_columns(X), groups)
        if not isinstance(self.model_, LMMResult):
            return np.asarray(self.model_.predict(columns))
        factors = {name for term in self.model_.n_groups for name in term.split(":")}
        known = self.re and factors <= columns.keys()
        return np.asarray(self.model_.predict(columns, re=known, allow_new_levels=known))

    def _with_groups(self, columns: dict[str, Any], groups: Any) -> dict[str, Any]:
        """Add the grouping factor that is given as an argument."""
        if groups is None:
            return columns
        if self.groups is None:
            raise DataError(
                "groups= is given, and the parameter groups does not name the grouping factor: "
                'MixedRegressor("~ x + (1 | school)", groups="school")'
            )
        return columns | {self.groups: groups}


def _columns(X: Any) -> dict[str, Any]:
    """Return the columns of a table or array by name."""
    if isinstance(X, Mapping):
        return {str(name): value for name, value in X.items()}
    names = getattr(X, "columns", None)
    if names is not None:
        return {str(name): X[name] for name in names}
    values = np.asarray(X)
    if values.ndim != 2:
        raise DataError(f"X is a table or an array of two dimensions, not of {values.ndim}")
    return {f"x{j}": values[:, j] for j in range(values.shape[1])}


def _with_response(formula: str, columns: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of the response, and the formula with it."""
    left, tilde, right = formula.partition("~")
    if not tilde:
        raise FormulaError(f"the formula {formula!r} has no '~': write '~ x + (1 | g)'")
    if left.strip():
        response = plain_name(left)
        if response is None:
            raise FormulaError(
                f"the response {left.strip()!r} is an expression, and y is used as it is: write "
                "'~ x + (1 | g)', and transform y by sklearn.compose.TransformedTargetRegressor"
            )
        return response, formula
    response = _RESPONSE
    while response in columns:
        response += "_"
    return response, f"{response} ~{right}"
