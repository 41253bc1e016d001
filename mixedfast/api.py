"""The doors users come in by: `lmer`, `fit`, `crossproducts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mixedfast._progress import Show
from mixedfast.crossprod.collinearity import well_conditioned
from mixedfast.crossprod.identifiability import check_sums
from mixedfast.crossprod.streaming import (
    LazyRows,
    Stream,
    is_stream,
    push_down,
    stream_crossproducts,
)
from mixedfast.crossprod.subset import keep_levels
from mixedfast.crossprod.types import CrossProducts
from mixedfast.data.frames import library_of
from mixedfast.data.frames_out import to_library
from mixedfast.data.lazy_frames import is_lazy
from mixedfast.design.build import build, check_whole
from mixedfast.design.request import Request
from mixedfast.design.types import Design
from mixedfast.errors import DataError, FormulaError
from mixedfast.estimation.fit import fit_crossproducts
from mixedfast.estimation.fit_rows import fit_rows
from mixedfast.estimation.least_squares import least_squares
from mixedfast.formula.parser import parse
from mixedfast.results import tables
from mixedfast.results.base import Call
from mixedfast.results.fixed_effects import FixedPart
from mixedfast.results.lmm import LMMResult
from mixedfast.results.ols import OLSResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["anova", "crossproducts", "fit", "lm", "lmer"]


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
    levels: Mapping[str, Sequence[Any]] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: Show = "auto",
) -> LMMResult:
    """Fit a linear mixed model by REML or maximum likelihood.

    Parameters
    ----------
    formula : str
        lme4's language: ``"math ~ ses + (1 + ses | school)"``.
    data : data frame, mapping of arrays, path, batches or lazy frame
        In memory: pandas, polars, pyarrow or any eager frame narwhals takes; or a dict of arrays.
        Read in batches: a path, folder, glob or list of Parquet or CSV files; Arrow batches from a list, an iterable or a
        function that makes one. Summed where they are: a DuckDB relation, a polars LazyFrame, a Dask or Spark frame.
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
    levels, checkpoint
        For data read in batches; see `crossproducts`.
    progress : {"auto", True, False}
        Show a bar while batches are read and while a long search runs; "auto" where somebody may be looking.

    Returns
    -------
    LMMResult
        From batches and lazy frames without rows: ``augment_to`` reads batches again and writes fitted values to Parquet.

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
    request = Request(
        parse(formula),
        data,
        weights,
        offset,
        contrasts,
        na_action,
        threads,
        levels,
        checkpoint,
        progress,
    )
    cp, rows = _products(request)
    if not isinstance(
        rows, Design
    ):  # for a table in memory `build` took the levels that occur, and `check_whole` looked
        cp = keep_levels(cp)
        check_sums(cp)
    if isinstance(rows, Stream) and cp.meta.recipe is not None:
        rows = rows.coded_by(cp.meta.recipe)
    first = None if start is None else np.asarray(start)
    found = fit_rows(cp, rows, REML, first, engine, progress, threads)
    if isinstance(rows, LazyRows):
        result = LMMResult(found)
    else:
        result = (
            LMMResult(found, stream=rows) if isinstance(rows, Stream) else LMMResult(found, rows)
        )
    result._call = Call(lmer, given)
    result._warn()
    return result


def lm(
    formula: str,
    data: Any,
    weights: str | Any = None,
    offset: str | Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
) -> OLSResult:
    """Fit a linear regression by least squares.

    Parameters
    ----------
    formula : str
        ``"y ~ x + f"``, without random terms.
    data : pandas or polars DataFrame, pyarrow Table or dict of arrays
    weights : str or array, shape (n,), optional
        A column's name, or one number a row. Precision weights: the variance of a row's error is sigma squared over
        its weight.
    offset : str or array, shape (n,), optional
        Subtracted from the response before fitting, added to fitted values.
    contrasts : dict, optional
        Categorical column to contrast: ``"sum"``, ``"helmert"``, ``"poly"``, a matrix.
    na_action : {"omit", "raise"}
        What to do with rows that miss a value in any variable used.

    Returns
    -------
    OLSResult

    Raises
    ------
    FormulaError
        When the formula cannot be read or has a random term.
    DataError
        When the data cannot be used, or leave no residual degree of freedom.

    Examples
    --------
    >>> import mixedfast as mf
    >>> print(mf.lm("y ~ x", {"y": [1.0, 2.0, 4.0, 5.0], "x": [0.0, 1.0, 2.0, 3.0]}).summary())
    Linear model fit by least squares
    Formula: y ~ x
    <BLANKLINE>
    Residuals:
      Min    1Q Median   3Q  Max
    -0.30 -0.15   0.00 0.15 0.30
    <BLANKLINE>
    Coefficients:
              Estimate Std. Error t value Pr(>|t|)
    Intercept   0.9000     0.2646   3.402   0.0766 .
    x           1.4000     0.1414   9.899   0.0101 *
    ---
    Signif. codes: 0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    <BLANKLINE>
    Residual standard error: 0.3162 on 2 degrees of freedom
    Multiple R-squared: 0.98, Adjusted R-squared: 0.97
    F-statistic: 98 on 1 and 2 DF, p-value: 0.01005
    """
    given = dict(locals())
    spec = parse(formula, require_random=False)
    if spec.random:
        raise FormulaError(f"the random term {spec.random[0]} is not for mf.lm: use mf.lmer")
    design = build(spec, data, weights, offset, contrasts, na_action)
    check_whole(design)
    result = OLSResult(least_squares(design), design)
    result._call = Call(lm, given)
    return result


def fit(
    crossproducts: CrossProducts,
    REML: bool = True,
    start: Sequence[float] | None = None,
    engine: str = "auto",
    progress: Show = "auto",
) -> LMMResult:
    """Fit a model from saved, added or streamed cross-products; no rows are needed.

    Parameters
    ----------
    crossproducts : CrossProducts
    REML, start, engine, progress
        As for `lmer`.

    Returns
    -------
    LMMResult
        Without ``fitted`` and ``resid``, which need rows.

    Raises
    ------
    DataError
        When given anything but cross-products.
    NotIdentifiedError
        When the sums do not tell the parameters apart.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> round(mf.fit(cp).criterion, 4)
    1743.6283
    """
    if not isinstance(crossproducts, CrossProducts):
        raise DataError(
            f"mf.fit takes cross-products (mf.crossproducts, mf.load), not {type(crossproducts).__name__}: for data use mf.lmer"
        )
    first, cp = None if start is None else np.asarray(start), keep_levels(crossproducts)
    check_sums(cp)
    result = LMMResult(fit_crossproducts(cp, REML, first, engine, progress))
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
    levels: Mapping[str, Sequence[Any]] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: Show = "auto",
) -> CrossProducts:
    """The cross-products of a model: all that fitting, testing and refitting need of the rows.

    Parameters
    ----------
    formula, data, weights, offset, contrasts, na_action, threads
        As for `lmer`. Of batches and lazy frames weights and offset are columns, by name.
    levels : dict of str to sequence, optional
        The levels of categorical columns and grouping factors. Tables read apart then have the same columns even where a
        part lacks a level, and a stream whose levels are all given is read once instead of twice. A value that is not
        among them is an error. A level that no row has stays in the sums, and is no group of a fit.
    checkpoint : path, optional
        A file where batches done so far are kept, twice a minute and when something goes wrong; the same call again goes on
        from there. It is deleted at the end.
    progress : {"auto", True, False}
        A bar with rows a second.

    Returns
    -------
    CrossProducts

    Raises
    ------
    DataError
        Also names the file and the column when a part cannot be read, lacks a column, or holds another type. Parts are added
        whole or not at all.

    Notes
    -----
    Cross-products can be shared where rows cannot: they hold sums by group and by pair of groups, no row. That is
    aggregation, not anonymity. A group (or a pair of levels, or a category) of one row *is* that row: its sums are its values.
    Few rows can be worked out from their sums, two files that differ by one row give it away, and the labels of all groups are
    in the file in the clear. Drop or merge small groups before you share, or agree on who may read the file.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> cp
    <CrossProducts Reaction ~ Days + (Days | Subject); 180 rows; groups: Subject 18>
    >>> cp.groups[0].A.shape
    (18, 2, 2)
    """
    request = Request(
        parse(formula),
        data,
        weights,
        offset,
        contrasts,
        na_action,
        threads,
        levels,
        checkpoint,
        progress,
        whole=False,
    )
    return _products(request)[0]


def _products(request: Request) -> tuple[CrossProducts, Design | Stream | LazyRows]:
    """Sum the cross-products of any kind of data; return them and the source that gives the rows again."""
    data = request.data
    if is_lazy(data):
        cp, rows = push_down(request)
        return replace(cp, meta=replace(cp.meta, library=library_of(data))), rows
    if is_stream(data):
        return stream_crossproducts(request)
    if request.levels is not None:
        return stream_crossproducts(replace(request, data=[data]))
    if request.checkpoint is not None:
        raise DataError("checkpoint= is for data read in batches; these are in memory")
    design = build(
        request.spec, data, request.weights, request.offset, request.contrasts, request.na_action
    )
    if request.whole:
        check_whole(design)
    return well_conditioned(design, request.threads), design


def anova(*models: LMMResult | OLSResult, refit: bool = True) -> pd.DataFrame:
    """Likelihood-ratio tests of nested models fitted to the same data.

    Parameters
    ----------
    *models : LMMResult or OLSResult
        Two or more, in any order. A regression by `lm` is the model whose groups do not differ; on that boundary p-values are
        too large (see `LMMResult.ranova`).
    refit : bool
        Refit models fitted by REML by maximum likelihood first (the models themselves do not change).

    Returns
    -------
    DataFrame
        One row a model, fewest parameters first, with its formula for a name: ``npar, aic, bic, loglik, deviance, chisq, df,
        p_value``, which lme4 calls npar, AIC, BIC, logLik, deviance, Chisq, Df and Pr(>Chisq). ``chisq`` compares a model
        with the one above it.

    Raises
    ------
    DataError
        When the models were not fitted to the same rows, response, offset and weights.
    NotDefinedError
        When ``refit=False`` would compare likelihoods that cannot be compared.

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
    for model in models:
        if not isinstance(model, FixedPart):
            raise DataError(f"mf.anova compares fitted models, not {type(model).__name__}")
    table = tables.compare([model._fit for model in models], refit=refit)
    return cast("pd.DataFrame", to_library(table, models[0].library if models else "pandas"))
