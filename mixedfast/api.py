"""The doors users come in by: `lmer`, `fit`, `crossproducts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mixedfast.conditioning import well_conditioned
from mixedfast.crossprod import CrossProducts
from mixedfast.design import build
from mixedfast.fitting import fit_crossproducts
from mixedfast.formula import parse
from mixedfast.giveback import given_back
from mixedfast.inference.anova import compare
from mixedfast.result import LMMResult
from mixedfast.result.again import Call

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["anova", "crossproducts", "fit", "lmer"]


def lmer(
    formula: str,
    data: Any,
    REML: bool = True,
    weights: str | Any = None,
    offset: str | Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    start: Sequence[float] | None = None,
    engine: str = "auto",
    threads: int | None = None,
) -> LMMResult:
    """Fit a linear mixed model by REML or maximum likelihood.

    Parameters
    ----------
    formula : str
        lme4's language: ``"math ~ ses + (1 + ses | school)"``.
    data : data frame or mapping of arrays
        pandas, polars, pyarrow or any eager frame narwhals takes; or a dict of arrays.
    REML : bool
        Restricted maximum likelihood (the default), or maximum likelihood.
    weights : str or (n,) array, optional
        Precision weights: the residual variance of a row is sigma^2 / weight.
    offset : str or (n,) array, optional
        Subtracted from the response before fitting, added to fitted values.
    contrasts : dict, optional
        Categorical column -> contrast: ``"sum"``, ``"helmert"``, ``"poly"``, ``"treatment"`` or a matrix.
    na_action : {"omit", "raise"}
        What to do with rows that have a missing value in a variable used.
    start : sequence of float, optional
        theta to start from; the default is a moment estimate.
    engine : {"auto", "block", "cholmod"}
        How M(theta) is factored; chosen by structure unless said.
    threads : int, optional
        Threads that read the rows.

    Returns
    -------
    LMMResult

    Raises
    ------
    FormulaError, DataError, NotIdentifiedError
        The message names the column or term and says what to do.

    Warns
    -----
    SingularFitWarning, ConvergenceWarning

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb"))
    >>> m.params.round(4).to_dict()
    {'Intercept': 12.665, 'ses': 2.3938}
    """
    given = dict(locals())
    design = build(parse(formula), data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action)
    found = fit_crossproducts(well_conditioned(design, threads), REML, None if start is None else np.asarray(start), engine)
    result = LMMResult(found, design)
    result._call = Call(lmer, given)
    result._warn()
    return result


def fit(crossproducts: CrossProducts, REML: bool = True, start: Sequence[float] | None = None,
        engine: str = "auto") -> LMMResult:  # fmt: skip
    """Fit a model from saved, added or streamed cross-products; no rows are needed.

    Parameters
    ----------
    crossproducts : CrossProducts
    REML, start, engine
        As for `lmer`.

    Returns
    -------
    LMMResult
        Without ``fitted`` and ``resid``, which need rows.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> round(mf.fit(cp).criterion, 4)
    1743.6283
    """
    result = LMMResult(fit_crossproducts(crossproducts, REML, None if start is None else np.asarray(start), engine))
    result._warn()
    return result


def crossproducts(
    formula: str,
    data: Any,
    weights: str | Any = None,
    offset: str | Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    threads: int | None = None,
) -> CrossProducts:
    """The cross-products of a model: all that fitting, testing and refitting need of the rows.

    Parameters
    ----------
    formula, data, weights, offset, contrasts, na_action, threads
        As for `lmer`.

    Returns
    -------
    CrossProducts

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> cp.n, cp.groups[0].A.shape
    (180, (18, 2, 2))
    """
    design = build(parse(formula), data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action)
    return well_conditioned(design, threads)


def anova(*models: LMMResult, refit: bool = True) -> pd.DataFrame:
    """Likelihood-ratio tests of nested models fitted to the same data.

    Parameters
    ----------
    *models : LMMResult
        Two or more, in any order.
    refit : bool
        Refit models fitted by REML by maximum likelihood first (the models themselves do not change).

    Returns
    -------
    DataFrame
        One row a model, fewest parameters first.

    Examples
    --------
    >>> import mixedfast as mf
    >>> sleep = mf.load_dataset("sleepstudy")
    >>> table = mf.anova(
    ...     mf.lmer("Reaction ~ Days + (1 | Subject)", sleep), mf.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    ... )
    >>> table.chisq.round(3).tolist()
    [nan, 42.139]
    """
    table = compare([model._fit for model in models], refit=refit)
    return cast("pd.DataFrame", given_back(table, models[0].library if models else "pandas"))
