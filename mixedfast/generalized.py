"""`glmer`: generalized linear mixed models. Imported when it is first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixedfast._progress import Show
from mixedfast._validation import check_choice, check_count
from mixedfast.api import path_of
from mixedfast.crossprod.streaming import is_stream
from mixedfast.data.frames import pandas_index
from mixedfast.data.lazy_frames import is_lazy
from mixedfast.data.read_table import read_small
from mixedfast.design.columns import matrix
from mixedfast.design.identifiability import check_design
from mixedfast.errors import ArgumentError, DataError
from mixedfast.estimation.glmm.designs import design_of, trials_of, without_intercept
from mixedfast.estimation.glmm.families import family_of
from mixedfast.estimation.glmm.fit import (
    CURVATURES,
    among_all_columns,
    fit_glmm,
    structure_of,
)
from mixedfast.estimation.glmm.responses import response_of
from mixedfast.estimation.glmm.separation import check_separation
from mixedfast.results.base import Call
from mixedfast.results.foreign_names import explain_arguments
from mixedfast.results.glmm import GLMMResult

__all__ = ["glmer"]


@explain_arguments
def glmer(
    formula: str,
    data: Any,
    family: str,
    link: str | None = None,
    trials: str | None = None,
    weights: str | Any = None,
    offset: str | Any = None,
    n_agq: int = 1,
    curvature: str | None = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    start: Sequence[float] | None = None,
    engine: str = "auto",
    threads: int | None = None,
    progress: Show = "auto",
) -> GLMMResult:
    """Fit a generalized linear mixed model: pass or fail, counts, grades, positive numbers.

    Maximum likelihood by Laplace's approximation or quadrature, with exact gradients.

    Parameters
    ----------
    formula : str
        In the language of lme4.
    data : data frame, mapping of arrays, or path of one file
        In memory.
    family : {"binomial", "poisson", "nbinom2", "Gamma", "inverse_gaussian", "cumulative"}
        Binomial responses are 0 and 1, successes out of `trials`, or proportions of as many trials
        as `weights` say. Poisson and nbinom2 (variance mu + mu^2 / kappa) responses are counts,
        Gamma and inverse_gaussian responses positive. Cumulative responses are ordered categories,
        or numbers that stand for them: P(Y <= c) = F(threshold_c - eta), without an intercept.
    link : str, optional
        Binomial: ``"logit"`` (default), ``"probit"``, ``"cloglog"``, ``"cauchit"``, ``"log"``,
        ``"identity"``. Cumulative: ``"logit"`` (default), ``"probit"``, ``"cloglog"``. Others:
        ``"log"`` (default), ``"inverse"``, ``"sqrt"``, ``"identity"``.
    trials : str, optional
        The column of the number of trials of each row.
    weights : str or (n,) array, optional
        Each row counts as often: its log likelihood is multiplied by its weight.
    offset : str or (n,) array, optional
        Added to the linear predictor, such as the logarithm of an exposure.
    n_agq : int
        Nodes of adaptive Gauss-Hermite quadrature, for one random effect such as ``(1 | g)``; 1 is
        Laplace's approximation, for any random part.
    curvature : {"expected", "observed"}, optional
        Weights of the log determinant: expected as in lme4, or observed as in glmmTMB, which is
        Laplace's method proper. Both are the same for canonical links. Default: expected for
        binomial and Poisson responses, observed for the other families.
    contrasts, na_action, start, engine, threads, progress
        As for `lmer`.

    Returns
    -------
    GLMMResult

    Raises
    ------
    FormulaError, DataError, NotIdentifiedError, ArgumentError
        NotIdentifiedError where columns separate the responses, so that the likelihood has no
        maximum; the message names them.

    Warns
    -----
    SingularFitWarning, ConvergenceWarning

    Examples
    --------
    >>> import mixedfast as mf
    >>> students = mf.load_dataset("hsb")
    >>> students["passed"] = (students["math"] > 12).astype(int)
    >>> g = mf.glmer("passed ~ ses + (1 | school)", students, family="binomial")
    >>> g.params.round(3).to_dict()
    {'Intercept': 0.228, 'ses': 0.749}
    """
    given, path = dict(locals()), path_of(data)
    data = given["data"] = read_small(data)
    if is_lazy(data) or is_stream(data):
        raise DataError("mf.glmer takes a table in memory: collect the lazy frame or read the file")
    check_choice("curvature", curvature, (None, *CURVATURES))
    check_count("n_agq", n_agq)
    chosen = family_of(family, link)
    design, chosen = design_of(chosen, formula, data, weights, offset, contrasts, na_action)
    if curvature == "expected" and chosen.is_ordered:
        raise ArgumentError("family='cumulative' has curvature='observed' only")
    counts = trials_of(data, trials, design)
    response = response_of(chosen, design.response_name, design.y, counts, design.weights)
    check_design(design, residual=False)
    used = without_intercept(design) if chosen.is_ordered else design
    cp = structure_of(used, threads)
    kept = cp.kept.tolist()
    check_separation(
        chosen,
        matrix([used.x[j] for j in kept], design.n),
        response.y,
        response.size,
        [used.x_names[j] for j in kept],
    )
    first = None if start is None else np.asarray(start)
    fit = fit_glmm(
        cp, used, response, chosen, curvature or chosen.curvature, first, engine, progress, n_agq
    )
    result = GLMMResult(among_all_columns(fit, used.kept), design)
    result._trials, result._call = counts, Call(glmer, given, path)
    result._index, result._padded = pandas_index(data), na_action == "exclude"
    result._warn()
    return result
