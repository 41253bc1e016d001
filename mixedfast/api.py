"""The functions that fit and compare models: `lmer`, `lm`, `fit`, `crossproducts`, `anova`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mixedfast._progress import Show
from mixedfast._validation import check_choice
from mixedfast.crossprod.collinearity import well_conditioned
from mixedfast.crossprod.identifiability import check_random_part
from mixedfast.crossprod.streaming import (
    LazyRows,
    Stream,
    is_stream,
    push_down,
    stream_crossproducts,
)
from mixedfast.crossprod.sub_model import sub_model
from mixedfast.crossprod.subset import keep_levels
from mixedfast.crossprod.types import CrossProducts
from mixedfast.data.frames import library_of, pandas_index
from mixedfast.data.frames_out import to_library
from mixedfast.data.lazy_frames import is_lazy
from mixedfast.data.read_table import read_small
from mixedfast.design.build import build
from mixedfast.design.identifiability import check_design
from mixedfast.design.request import Request
from mixedfast.design.types import Design
from mixedfast.errors import ArgumentError, DataError, FormulaError
from mixedfast.estimation.fit import fit_crossproducts
from mixedfast.estimation.fit_rows import fit_rows
from mixedfast.estimation.least_squares import least_squares
from mixedfast.formula.parser import parse
from mixedfast.formula.update import update_formula
from mixedfast.inference.hypotheses.model_comparison import by_ml, n_parameters
from mixedfast.results import tables
from mixedfast.results.base import Call
from mixedfast.results.fixed_effects import FixedPart
from mixedfast.results.foreign_names import explain_arguments
from mixedfast.results.lmm import LMMResult
from mixedfast.results.ols import OLSResult
from mixedfast.results.pooled import with_pool

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["anova", "crossproducts", "fit", "lm", "lmer"]


@with_pool
@explain_arguments
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
        In the language of lme4: ``"math ~ ses + (1 + ses | school)"``.
    data : data frame, mapping of arrays, path, batches or lazy frame
        In memory: pandas, polars, pyarrow or any eager frame that narwhals supports; a dict of
        arrays; the path of a file that `read_table` reads, of at most 64 MB (16 MB if it is
        compressed or Parquet). Read in batches: the path of a larger Parquet or CSV file; a folder,
        glob or list of such files; Arrow batches from a list, an iterable or a function that makes
        one. Summed inside their engine: a DuckDB relation, a polars LazyFrame, a Dask or Spark
        frame.
    REML : bool
        Restricted maximum likelihood (the default), or maximum likelihood.
    weights : str or (n,) array, optional
        Precision weights: the residual variance of a row is sigma^2 / weight.
    offset : str or (n,) array, optional
        Subtracted from the response before fitting, added to fitted values.
    contrasts : dict, optional
        Categorical column -> contrast: ``"sum"``, ``"helmert"``, ``"poly"``, ``"treatment"`` or a
        matrix.
    na_action : {"omit", "exclude", "raise"}
        Leave out rows with a missing value in a variable used, or refuse them. With "exclude"
        fitted values, residuals, leverages and predictions have one value per row of the data, NaN
        for the rows left out.
    start : sequence of float, optional
        Starting values of theta; the default is a moment estimate.
    engine : {"auto", "block", "cholmod", "krylov"}
        The factorization of M(theta); "auto" chooses "block" or "cholmod" by structure. "krylov" is
        for crossed factors whose factorization needs too much memory or time: traces are estimated
        from random probes, and ``optimization["monte_carlo"]`` has the error that this leaves.
    threads : int, optional
        Number of threads that read the rows.
    levels, checkpoint
        For data read in batches; see `crossproducts`.
    progress : {"auto", True, False}
        Show a bar while batches are read and during a long search; "auto" in a terminal or
        notebook.

    Returns
    -------
    LMMResult
        From batches and lazy frames without rows: ``augment_to`` reads batches again and writes
        fitted values to Parquet.

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
    given, path = dict(locals()), path_of(data)
    if levels is None and checkpoint is None:
        data = given["data"] = read_small(data)
    spec = parse(formula)
    request = Request(
        spec, data, weights, offset, contrasts, na_action, threads, levels, checkpoint, progress
    )
    cp, rows = _products(request)
    if not isinstance(rows, Design):  # of a table in memory `build` keeps the levels that occur
        cp = keep_levels(cp)
        check_random_part(cp)
    if isinstance(rows, Stream) and cp.meta.recipe is not None:
        rows = rows.coded_by(cp.meta.recipe)
    first = None if start is None else np.asarray(start)
    found = fit_rows(cp, rows, REML, first, engine, progress, threads)
    design = rows if isinstance(rows, Design) else None
    result = LMMResult(found, design, rows if isinstance(rows, Stream) else None)
    result._call, result._index = Call(lmer, given, path), pandas_index(data)
    result._padded = na_action == "exclude"
    result._warn()
    return result


@explain_arguments
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
    data : pandas or polars DataFrame, pyarrow Table, dict of arrays, or path of one file
    weights : str or array, shape (n,), optional
        The name of a column, or one number per row. Precision weights: the error variance of a row
        is sigma^2 / weight.
    offset : str or array, shape (n,), optional
        Subtracted from the response before fitting, added to fitted values.
    contrasts : dict, optional
        Categorical column to contrast: ``"sum"``, ``"helmert"``, ``"poly"``, a matrix.
    na_action : {"omit", "exclude", "raise"}
        Leave out rows with a missing value in a variable used, or refuse them. With "exclude"
        fitted values, residuals, leverages and predictions have one value per row of the data, NaN
        for the rows left out.

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
    path, data = path_of(data), read_small(data)
    given["data"] = data
    spec = parse(formula, require_random=False)
    if spec.random:
        raise FormulaError(f"mf.lm takes no random terms such as {spec.random[0]}: use mf.lmer")
    design = build(spec, data, weights, offset, contrasts, na_action)
    check_design(design)
    result = OLSResult(least_squares(design), design)
    result._call, result._index = Call(lm, given, path), pandas_index(data)
    result._padded = na_action == "exclude"
    return result


@explain_arguments
def fit(
    crossproducts: CrossProducts,
    REML: bool = True,
    start: Sequence[float] | None = None,
    engine: str = "auto",
    progress: Show = "auto",
    formula: str | None = None,
) -> LMMResult:
    """Fit a model from saved, added or streamed cross-products; no rows are needed.

    Parameters
    ----------
    crossproducts : CrossProducts
    REML, start, engine, progress
        As for `lmer`.
    formula : str, optional
        Of a sub-model: the same response with fewer fixed or random effects. May use dots as in R:
        ``". ~ . - ses"``. The rows are those of the sums, complete for the variables of the larger
        model.

    Returns
    -------
    LMMResult
        Without ``fitted`` and ``resid``, which need rows.

    Raises
    ------
    DataError
        When given anything but cross-products, or the formula of a model that is no part of that
        of the sums.
    NotIdentifiedError
        When the sums do not identify the parameters.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> round(mf.fit(cp).criterion, 4)
    1743.6283
    >>> mf.fit(cp, formula=". ~ . - (Days | Subject) + (1 | Subject)").theta.round(4)
    array([1.1979])
    """
    if not isinstance(crossproducts, CrossProducts):
        raise DataError(
            "mf.fit takes cross-products (mf.crossproducts, mf.load), not "
            f"{type(crossproducts).__name__}: for data use mf.lmer"
        )
    if formula is not None:
        whole = crossproducts.meta.formula
        crossproducts = sub_model(crossproducts, update_formula(whole, formula))
    first, cp = None if start is None else np.asarray(start), keep_levels(crossproducts)
    check_random_part(cp)
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
    """Sum the cross-products of a model, from which it is fitted, tested and refitted without rows.

    Parameters
    ----------
    formula, data, weights, offset, contrasts, na_action, threads
        As for `lmer`. Of batches and lazy frames weights and offset are columns, by name.
    levels : dict of str to sequence, optional
        The levels of categorical columns and grouping factors. Cross-products of several tables
        then have the same columns even where a table lacks a level, and a stream whose levels are
        all given is read once instead of twice. A value that is not among the levels is an error. A
        level without rows stays in the sums, and is not a group of a fit.
    checkpoint : path, optional
        A file that keeps the sums of the batches read so far, written twice a minute and after an
        error. The same call continues from it. It is deleted at the end.
    progress : {"auto", True, False}
        Show a bar with rows per second.

    Returns
    -------
    CrossProducts

    Raises
    ------
    DataError
        Names the file and the column when a file cannot be read, lacks a column, or has a column of
        another type. A file is added completely or not at all.

    Notes
    -----
    Cross-products can be shared where rows cannot: they contain sums by group and by pair of
    groups, and no rows. This is aggregation, not anonymity. The sums of a group (or of a pair of
    levels, or of a category) with one row are the values of that row. A few rows can be computed
    from their sums, the difference of two files shows the rows by which they differ, and the labels
    of all groups are in the file as plain text. Drop or merge small groups before you share a file,
    or agree on who may read it.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> cp
    <CrossProducts Reaction ~ Days + (Days | Subject); 180 rows; groups: Subject 18>
    >>> cp.groups[0].A.shape
    (18, 2, 2)
    """
    spec = parse(formula)
    if levels is None and checkpoint is None:
        data = read_small(data)
    request = Request(
        spec, data, weights, offset, contrasts, na_action, threads, levels, checkpoint, progress
    )
    return _products(replace(request, whole=False))[0]


def path_of(data: Any) -> Path | None:
    return Path(data) if isinstance(data, (str, PathLike)) else None


def _products(request: Request) -> tuple[CrossProducts, Design | Stream | LazyRows]:
    """Sum the cross-products of any kind of data; return them and the source of the rows."""
    data = request.data
    if request.na_action == "exclude" and (is_lazy(data) or is_stream(data)):
        raise DataError(
            "na_action='exclude' is for a table in memory: augment_to writes the values of rows "
            "that are read in batches"
        )
    if is_lazy(data):
        cp, rows = push_down(request)
        return replace(cp, meta=replace(cp.meta, library=library_of(data))), rows
    if is_stream(data):
        return stream_crossproducts(request)
    if request.levels is not None:
        return stream_crossproducts(replace(request, data=[data]))
    if request.checkpoint is not None:
        raise DataError("checkpoint= is for data read in batches, and these data are in memory")
    design = build(
        request.spec, data, request.weights, request.offset, request.contrasts, request.na_action
    )
    if request.whole:
        check_design(design)
    return well_conditioned(design, request.threads), design


def anova(
    *models: LMMResult | OLSResult,
    refit: bool = True,
    method: str = "chisq",
    n: int = 1000,
    seed: int | None = None,
    progress: Show = "auto",
) -> pd.DataFrame:
    """Compare nested models fitted to the same data by likelihood-ratio tests.

    Parameters
    ----------
    *models : LMMResult or OLSResult
        Two or more, in any order. A regression by `lm` is the model without differences between
        groups. Its comparison is on the boundary, where p values are too large (see
        `LMMResult.ranova`).
    refit : bool
        Refit models fitted by REML by maximum likelihood first. The models given do not change.
    method : {"chisq", "pb"}
        Where p values come from: the chi-square distribution, or a parametric bootstrap as in
        PBmodcomp of pbkrtest. The bootstrap draws responses from the smaller model and fits both
        models to each. It needs the rows, and it is right on the boundary and in small samples.
    n : int
        Draws of the bootstrap.
    seed : int, optional
        Of the bootstrap.
    progress : {"auto", True, False}
        Show a bar during the bootstrap.

    Returns
    -------
    DataFrame
        One row per model, fewest parameters first, with the formulas as index: ``npar, aic, bic,
        loglik, deviance, chisq, df, p_value``. ``chisq`` compares a model with the one above it.
        With ``method="pb"`` ``p_value`` is that of the bootstrap, and ``p_chisq`` that of the
        chi-square distribution.

    Raises
    ------
    DataError
        When the models were not fitted to the same rows, response, offset and weights, or a
        bootstrap has no rows.
    NotDefinedError
        When ``refit=False`` would compare likelihoods that cannot be compared.

    Examples
    --------
    >>> import mixedfast as mf
    >>> sleep = mf.load_dataset("sleepstudy")
    >>> parallel = mf.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    >>> varying = mf.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> mf.anova(parallel, varying).chisq.round(3).tolist()
    [nan, 42.139]
    """
    for model in models:
        if not isinstance(model, FixedPart):
            raise DataError(f"mf.anova compares fitted models, not {type(model).__name__}")
    check_choice("method", method, ("chisq", "pb"))
    fits = [model._fit for model in models]
    table = tables.compare(fits, refit=refit)
    if method == "pb":
        if not refit:
            raise ArgumentError("method='pb' refits models by maximum likelihood: use refit=True")
        order = sorted(range(len(fits)), key=lambda i: n_parameters(fits[i]))
        designs = [models[i]._rows("anova(method='pb')") for i in order]
        table = tables.bootstrap_tests(
            table, [by_ml(fits[i]) for i in order], designs, n, seed, progress
        )
    return cast("pd.DataFrame", to_library(table, models[0].library if models else "pandas"))
