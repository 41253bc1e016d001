"""Parametric bootstrap in cross-product space.

A replicate is a response drawn from the fitted model
(`mixedfast.inference.intervals.response_sampler`) and a refit that starts at the theta of the fit
(`mixedfast.estimation.refits`). Neither reads a row, so with one grouping factor or nested
ones a replicate costs the same at seven thousand and at seventy million rows.

Replicate r draws from its own stream, the r-th substream of a counter-based generator (Philox;
Salmon et al. 2011), and the size of the batches depends on the model alone. Results are therefore
the same bits for any number of threads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast._threads import thread_pool
from mixedfast._validation import (
    available_cores,
    check_count,
    check_room,
    check_seed,
    check_threads,
)
from mixedfast.engines.threads import on_one_blas_thread
from mixedfast.estimation.newton import undefined
from mixedfast.estimation.refits import Refits, new_engine, refit, scores
from mixedfast.estimation.small_search import small_system
from mixedfast.inference.intervals.bootstrap_intervals import Replicates
from mixedfast.inference.intervals.parameters import list_parameters, parameter_values
from mixedfast.inference.intervals.response_sampler import ResponseSampler

if TYPE_CHECKING:
    from mixedfast.design.types import Design
    from mixedfast.engines.interface import Engine
    from mixedfast.estimation.fit import Fit

__all__ = ["bootstrap", "row_space_bootstrap"]

#: Numbers per batch (8 MB): large enough to spread the cost of Python, small enough for the cache.
_BATCH_NUMBERS = 1_000_000
_BATCH_MAX = 64
#: Replicates per batch where each search runs on its own: larger batches save next to nothing, and
#: Ctrl-C waits for the end of a batch.
_BATCH_ALONE = 4


@on_one_blas_thread  # once around all searches: setting it at each step costs more than a step
def bootstrap(
    fit: Fit,
    n: int = 1000,
    seed: int | None = None,
    threads: int | None = None,
    progress: Show = "auto",
) -> Replicates:
    """Run a parametric bootstrap of a fit, without its rows.

    Parameters
    ----------
    fit : Fit
    n : int
        Replicates.
    seed : int, optional
        The same seed gives the same bits for any number of threads.
    threads : int, optional
        Default: the cores available to this process where searches are compiled (one grouping
        factor, or few random effects); one thread otherwise, because the engine then divides each
        step among threads of its own.
    progress : {"auto", True, False}
        Show a progress bar (see `mixedfast._progress.bar`).

    Returns
    -------
    Replicates
        After Ctrl-C, the replicates finished, if there are any.

    Raises
    ------
    ArgumentError
        When n or threads is not a positive whole number.
    NotDefinedError
        When crossed factors are too large to draw from without rows (`row_space_bootstrap` reads
        the rows instead).

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
    >>> found = bootstrap(m._fit, 200, seed=1)
    >>> found.n_done, found.names
    (200, ['sd_Intercept|Batch', 'sigma', 'Intercept'])
    """
    n, threads = check_count("n", n), check_threads(threads)
    check_seed(seed)
    check_room(f"bootstrap({n})", 16.0 * n * (fit.cp.p + len(fit.theta_internal) + 1))
    sampler = ResponseSampler(fit)
    key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    compiled = small_system(fit.cp, fit.reml) is not None
    size = _batch_size(sampler, compiled)
    batches = [range(first, min(first + size, n)) for first in range(0, n, size)]

    # an engine serves one search at a time, so there are as many as threads
    idle: SimpleQueue[Engine] = SimpleQueue()

    def work(batch: range) -> tuple[Refits, np.ndarray]:
        try:
            engine = idle.get_nowait()
        except Empty:
            engine = new_engine(fit)
        drawn = sampler.draw([_generator(key, r) for r in batch])
        at_fit = scores(fit, drawn, engine)
        found = refit(fit, drawn, engine)
        if np.isnan(found.deviance).any():
            raise undefined()
        idle.put(engine)
        return found, at_fit

    default = available_cores() if compiled else 1
    done = _run(work, batches, threads or default, progress, n)
    return _collect(fit, [done[i] for i in sorted(done)], n)


def _generator(key: np.ndarray, r: int) -> np.random.Generator:
    """Return stream r: the top word of the counter is r, so each replicate has 2^192 blocks."""
    return np.random.Generator(
        np.random.Philox(key=key, counter=np.array([0, 0, 0, r], dtype=np.uint64))
    )


def _batch_size(sampler: ResponseSampler, compiled: bool) -> int:
    """Return the replicates per batch, a function of the model alone."""
    most = _BATCH_MAX if compiled else _BATCH_ALONE
    return int(np.clip(_BATCH_NUMBERS // (3 * sampler.numbers_per_draw), 1, most))


def _run(
    work: Callable[[range], tuple[Refits, np.ndarray]],
    batches: Sequence[range],
    threads: int,
    progress: Show,
    n: int,
) -> dict[int, tuple[Refits, np.ndarray]]:
    """Run the batches on threads; after Ctrl-C, return those finished, by position."""
    done: dict[int, tuple[Refits, np.ndarray]] = {}
    try:
        with (
            thread_pool(min(threads, len(batches))) as workers,
            bar(n, "bootstrap", progress) as advance,
        ):
            running: dict[Future[tuple[Refits, np.ndarray]], int] = {
                workers.submit(work, batch): i for i, batch in enumerate(batches)
            }
            for future in as_completed(running):
                done[running[future]] = future.result()
                advance(len(batches[running[future]]))
    except KeyboardInterrupt:
        if not done:
            raise
        sys.stderr.write("interrupted: the replicates finished so far are kept\n")
    return done


def _collect(fit: Fit, parts: list[tuple[Refits, np.ndarray]], requested: int) -> Replicates:
    """Join the batches in order, in the user's units."""
    cp = fit.cp
    theta = np.concatenate([part.theta for part, _ in parts])
    sigma = np.sqrt(np.concatenate([part.r2 for part, _ in parts]) / fit.nu)
    beta = np.concatenate([part.beta for part, _ in parts])
    converged = np.concatenate([part.converged for part, _ in parts])
    singular = sum(
        any(fit.covariance.singular_terms(row))
        for row, good in zip(theta, converged, strict=True)
        if good
    )
    return Replicates(
        tuple(list_parameters(cp)),
        _estimates(fit),
        parameter_values(cp, theta, sigma, beta),
        requested,
        int(singular),
        converged,
        np.concatenate([own for _, own in parts]),
    )


def _estimates(fit: Fit) -> np.ndarray:
    """Return every parameter of a fit in the user's units, (P,)."""
    sigma = np.asarray(np.sqrt(fit.solution.r2 / fit.nu))
    return parameter_values(fit.cp, fit.theta_internal, sigma, fit.solution.beta)


# -- the check -----------------------------------------------------------------------------------


def row_space_bootstrap(fit: Fit, design: Design, n: int, seed: int | None = None) -> Replicates:
    """Run the same bootstrap by simulating every row: slow, a check of the fast one.

    Parameters
    ----------
    fit : Fit
    design : Design
        The rows of the fit.
    n : int
    seed : int, optional

    Returns
    -------
    Replicates
        Without scores, so without BCa intervals.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
    >>> row_space_bootstrap(m._fit, m._design, 5, seed=1).n_done
    5
    """
    from mixedfast.crossprod.assemble import assemble
    from mixedfast.estimation.fit import fit_crossproducts
    from mixedfast.inference.prediction.fitted import population

    rng = np.random.default_rng(seed)
    mean = population(fit, design)
    lambdas = fit.covariance.lambdas(fit.theta)
    found, singular, converged = [], 0, []
    for _ in range(n):
        y = mean + rng.standard_normal(design.n) * fit.sigma / (
            1.0 if design.weights is None else np.sqrt(design.weights)
        )
        for shape, term in zip(fit.covariance.terms, design.terms, strict=True):
            root = fit.covariance.term_block(shape, lambdas)
            b = fit.sigma * rng.standard_normal((len(term.levels), shape.k)) @ root.T
            y += _effects(term, b, design.n)
        refitted = fit_crossproducts(
            assemble(replace(design, y=y)), fit.reml, fit.theta, fit.engine_wanted
        )
        found.append(_estimates(refitted))
        singular += any(refitted.singular_terms)
        converged.append(refitted.optimum is not None and refitted.optimum.converged)
    return Replicates(
        tuple(list_parameters(fit.cp)),
        _estimates(fit),
        np.array(found),
        n,
        singular,
        np.array(converged, dtype=bool),
    )


def _effects(term: Any, b: np.ndarray, n: int) -> np.ndarray:
    """Compute Z b of one term, (n,)."""
    from mixedfast.design.columns import evaluate

    return sum(b[term.codes, a] * evaluate(column, n) for a, column in enumerate(term.columns))
