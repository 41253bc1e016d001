"""Parametric bootstrap in cross-product space.

A replicate is a response drawn from the fitted model (`mixedfast.inference.intervals.response_sampler`) and a refit that starts at the fit's own
theta (`mixedfast.inference.intervals.refits`). Neither sees a row, so with one grouping factor or nested ones a replicate costs the
same at seven thousand and at seventy million rows.

Replicate r draws from its own stream, the r-th substream of a counter-based generator (Philox; Salmon et al. 2011), and
replicates are worked on in batches whose size depends on the model alone. Results are therefore the same bits for any number
of threads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast._validation import (
    available_cores,
    check_choice,
    check_count,
    check_level,
    check_room,
    check_seed,
    check_threads,
)
from mixedfast.data.frames_out import in_callers_library
from mixedfast.engines.threads import on_one_blas_thread
from mixedfast.errors import ArgumentError
from mixedfast.inference.intervals.parameters import Parameter, list_parameters, values
from mixedfast.inference.intervals.refits import Refits, new_engine, numbers_per_refit, refit
from mixedfast.inference.intervals.response_sampler import ResponseSampler

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.design.build import Design
    from mixedfast.engines import Engine
    from mixedfast.estimation.fit import Fit

__all__ = ["Bootstrap", "bootstrap", "row_space_bootstrap"]

#: A batch keeps about this many numbers (8 MB): large enough to spread Python's cost, small enough for the cache.
_BATCH_NUMBERS = 1_000_000
_BATCH_MAX = 64
#: Where each search is taken alone a batch saves next to nothing, and an interruption waits for its end.
_BATCH_ALONE = 4
INTERVALS = ("percentile", "basic", "bca")


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """What a parametric bootstrap found.

    Parameters
    ----------
    parameters : tuple of Parameter
    estimates : (P,) array
        Of the fit itself.
    replicates : (n_done, P) array
        A correlation is NaN in replicates where one of its variances is zero.
    requested, n_failed, n_singular : int
        Replicates asked for, not converged (their rows are kept; NaN when nothing was found), with a singular covariance.
    converged : (n_done,) bool array
    scores : (n_done, s) array or None
        Sufficient statistics of the score at the fitted parameters, for the acceleration of BCa intervals.
    library : {"pandas", "polars", "pyarrow"}
        What tables are given as.
    """

    parameters: tuple[Parameter, ...]
    estimates: np.ndarray
    replicates: np.ndarray
    requested: int
    n_singular: int
    converged: np.ndarray
    scores: np.ndarray | None = None
    library: str = "pandas"

    @property
    def n_done(self) -> int:
        """Replicates finished; fewer than requested after an interruption."""
        return len(self.replicates)

    @property
    def n_failed(self) -> int:
        """Replicates whose search did not converge."""
        return int((~self.converged).sum())

    @property
    def names(self) -> list[str]:
        """Names of the parameters, as in ``to_frame``."""
        return [p.name for p in self.parameters]

    @in_callers_library
    def to_frame(self) -> pd.DataFrame:
        """One row a replicate, one column a parameter.

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.bootstrap(3, seed=1).to_frame().shape
        (3, 3)
        """
        import pandas as pd

        return pd.DataFrame(self.replicates, columns=self.names).rename_axis(index="replicate")

    def plot(self, level: float = 0.95, ax: Any = None) -> np.ndarray:
        """Histograms of the converged replicates, with the estimate and the percentile interval below.

        Parameters
        ----------
        level : float
        ax : sequence of matplotlib Axes, optional
            One a parameter; a new figure unless given.

        Returns
        -------
        ndarray of Axes

        Raises
        ------
        MissingLibraryError
            When matplotlib is not installed.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.bootstrap(50, seed=1).plot().shape
        (3,)
        """
        from mixedfast.report.plots import plot_bootstrap

        return plot_bootstrap(self, level, ax)

    @in_callers_library
    def confint(self, level: float = 0.95, type: str = "percentile") -> pd.DataFrame:
        """Intervals from the converged replicates.

        Parameters
        ----------
        level : float
        type : {"percentile", "basic", "bca"}
            Quantiles of the replicates; the same reflected at the estimate and cut at the parameter's bounds; bias-corrected
            and accelerated (Efron 1987, JASA 82). See Notes.

        Returns
        -------
        DataFrame
            Index: parameters; columns ``conf_low, conf_high``. NaN where no replicate has a value.

        Raises
        ------
        ArgumentError
            For an unknown type or level, or "bca" of a row-space bootstrap.

        Notes
        -----
        The acceleration of BCa is a sixth of the skewness of the score in the least favourable direction, which is Efron's
        definition for parametric models. That score is the regression of the replicates' estimates on their scores at the
        fitted parameters. The jackknife over groups, its usual stand-in, would need each group's y'y, which
        cross-products do not keep.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.bootstrap(200, seed=1).confint(type="bca").columns.tolist()
        ['conf_low', 'conf_high']
        """
        import pandas as pd

        check_choice("type", type, INTERVALS)
        check_level(level)
        tail = 0.5 * (1.0 - level)
        ends = [self._ends(i, tail, type) for i in range(len(self.parameters))]
        return pd.DataFrame(ends, index=self.names, columns=["conf_low", "conf_high"])

    def _ends(self, i: int, tail: float, type: str) -> tuple[float, float]:
        usable = self.converged & np.isfinite(self.replicates[:, i])
        found, estimate = self.replicates[usable, i], float(self.estimates[i])
        if not len(found):
            return np.nan, np.nan
        if type == "percentile":
            low, high = np.quantile(found, [tail, 1.0 - tail])
        elif type == "basic":
            high, low = 2.0 * estimate - np.quantile(found, [tail, 1.0 - tail])
            low, high = np.clip([low, high], *self.parameters[i].bounds)
        else:
            if self.scores is None:
                raise ArgumentError(
                    'type="bca" needs the scores that only bootstrap() keeps, not row_space_bootstrap()'
                )
            at = _bca_tails(found, estimate, _acceleration(found, self.scores[usable]), tail)
            low, high = np.quantile(found, at) if np.isfinite(at).all() else (np.nan, np.nan)
        return float(low), float(high)

    def __repr__(self) -> str:
        done = (
            f"{self.n_done} replicates"
            if self.n_done == self.requested
            else f"{self.n_done} of {self.requested} replicates"
        )
        return f"<Bootstrap {done}; {self.n_singular} singular; {self.n_failed} failed>"


def _bca_tails(found: np.ndarray, estimate: float, acceleration: float, tail: float) -> np.ndarray:
    """Which quantiles of the replicates the BCa interval reads."""
    normal = NormalDist()
    below = (np.sum(found < estimate) + 0.5 * np.sum(found == estimate)) / len(found)
    if (
        not 0.0 < below < 1.0
    ):  # the estimate lies outside all replicates: its bias has no finite measure
        return np.array([np.nan, np.nan])
    bias = normal.inv_cdf(float(below))
    out = []
    for part in (tail, 1.0 - tail):
        z = bias + normal.inv_cdf(part)
        out.append(normal.cdf(bias + z / (1.0 - acceleration * z)))
    return np.array(out)


def _acceleration(found: np.ndarray, scores: np.ndarray) -> float:
    """A sixth of the skewness of the part of the estimates that is linear in the scores."""
    centred = scores - scores.mean(axis=0)
    spread = centred.std(axis=0)
    centred = centred[:, spread > 0] / spread[spread > 0]
    fitted = centred @ np.linalg.lstsq(centred, found - found.mean(), rcond=1e-10)[0]
    variance = float((fitted**2).mean())
    return float((fitted**3).mean()) / (6.0 * variance**1.5) if variance > 0 else 0.0


# -- the run -------------------------------------------------------------------------------------------------------


@on_one_blas_thread  # once around all searches: to set it anew at each step costs more than a step
def bootstrap(
    fit: Fit,
    n: int = 1000,
    seed: int | None = None,
    threads: int | None = None,
    progress: Show = "auto",
) -> Bootstrap:
    """Parametric bootstrap of a fit, without its rows.

    Parameters
    ----------
    fit : Fit
    n : int
        Replicates.
    seed : int, optional
        The same seed gives the same bits, whatever the number of threads.
    threads : int, optional
        Default: the cores this process may use where searches are taken together (one grouping factor, or few random
        effects); one thread otherwise, where the engine shares each step among threads of its own.
    progress : {"auto", True, False}
        Show a bar (see `mixedfast._progress.bar`).

    Returns
    -------
    Bootstrap
        With what is done when interrupted by Ctrl-C, if anything is.

    Raises
    ------
    ArgumentError
        When n or threads is no whole number from 1.
    NotDefinedError
        When crossed factors are too large to draw from without rows (`row_space_bootstrap` needs rows and no such factor).

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
    >>> found = bootstrap(m._fit, 200, seed=1)
    >>> found.n_done, found.to_frame().columns.tolist()
    (200, ['sd_Intercept|Batch', 'sigma', 'Intercept'])
    """
    n, threads = check_count("n", n), check_threads(threads)
    check_seed(seed)
    check_room(f"bootstrap({n})", 16.0 * n * (fit.cp.p + len(fit.theta_internal) + 1))
    sampler = ResponseSampler(fit)
    key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    size = _batch_size(fit, sampler)
    batches = [range(first, min(first + size, n)) for first in range(0, n, size)]

    idle: SimpleQueue[Engine] = (
        SimpleQueue()
    )  # an engine serves one search at a time: as many are made as threads run

    def work(batch: range) -> Refits:
        try:
            engine = idle.get_nowait()
        except Empty:
            engine = new_engine(fit)
        found = refit(fit, sampler.draw([_generator(key, r) for r in batch]), engine)
        idle.put(engine)
        return found

    default = available_cores() if numbers_per_refit(fit) else 1
    done = _run(work, batches, threads or default, progress, n)
    return _collect(fit, [done[i] for i in sorted(done)], n)


def _generator(key: np.ndarray, r: int) -> np.random.Generator:
    """Stream r: the counter's top word is r, which leaves 2^192 blocks to each replicate."""
    return np.random.Generator(
        np.random.Philox(key=key, counter=np.array([0, 0, 0, r], dtype=np.uint64))
    )


def _batch_size(fit: Fit, sampler: ResponseSampler) -> int:
    together = numbers_per_refit(fit)
    most = _BATCH_MAX if together else _BATCH_ALONE
    return int(np.clip(_BATCH_NUMBERS // (3 * sampler.numbers_per_draw + together), 1, most))


def _run(
    work: Callable[[range], Refits], batches: Sequence[range], threads: int, progress: Show, n: int
) -> dict[int, Refits]:
    """The batches' results by position; those finished so far when the user interrupts."""
    done: dict[int, Refits] = {}
    workers = ThreadPoolExecutor(min(threads, len(batches)))
    running: dict[Future[Refits], int] = {
        workers.submit(work, batch): i for i, batch in enumerate(batches)
    }
    try:
        with bar(n, "bootstrap", progress) as advance:
            for future in as_completed(running):
                done[running[future]] = future.result()
                advance(len(batches[running[future]]))
    except KeyboardInterrupt:
        if not done:
            raise
        sys.stderr.write("interrupted: keeping the replicates that are done\n")
    finally:
        workers.shutdown(wait=True, cancel_futures=True)
    return done


def _collect(fit: Fit, parts: list[Refits], requested: int) -> Bootstrap:
    cp, p = fit.cp, fit.cp.p
    m, s = len(fit.theta_internal), p + len(fit.theta_internal) + 1
    theta = np.concatenate([np.empty((0, m)), *(part.theta for part in parts)])
    sigma = np.concatenate([np.empty(0), *(part.sigma for part in parts)])
    beta = np.concatenate([np.empty((0, p)), *(part.beta for part in parts)])
    converged = np.concatenate([np.empty(0, dtype=bool), *(part.converged for part in parts)])
    scores = np.concatenate([np.empty((0, s)), *(part.scores for part in parts)])
    singular = sum(
        any(fit.covariance.singular_terms(row))
        for row, good in zip(theta, converged, strict=True)
        if good
    )
    return Bootstrap(
        tuple(list_parameters(cp)),
        _own(fit),
        values(cp, theta, sigma, beta),
        requested,
        int(singular),
        converged,
        scores,
    )


def _own(fit: Fit) -> np.ndarray:
    sigma = np.asarray(np.sqrt(fit.solution.r2 / fit.nu))
    return values(fit.cp, fit.theta_internal, sigma, fit.solution.beta)


# -- the check -----------------------------------------------------------------------------------------------------


def row_space_bootstrap(fit: Fit, design: Design, n: int, seed: int | None = None) -> Bootstrap:
    """The same bootstrap by simulating every row: slow, and what the fast one is checked against.

    Parameters
    ----------
    fit : Fit
    design : Design
        The rows the fit was made from.
    n : int
    seed : int, optional

    Returns
    -------
    Bootstrap
        Without scores, so without BCa intervals.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
    >>> row_space_bootstrap(m._fit, m._design, 5, seed=1).n_done
    5
    """
    from mixedfast.crossprod.products import assemble
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
        again = fit_crossproducts(
            assemble(replace(design, y=y)), fit.reml, fit.theta, fit.engine_wanted
        )
        found.append(_own(again))
        singular += any(again.singular_terms)
        converged.append(again.optimum is not None and again.optimum.converged)
    return Bootstrap(
        tuple(list_parameters(fit.cp)),
        _own(fit),
        np.array(found),
        n,
        singular,
        np.array(converged, dtype=bool),
    )


def _effects(term: Any, b: np.ndarray, n: int) -> np.ndarray:
    """Z b of one term, (n,)."""
    from mixedfast.design.columns import evaluate

    return sum(b[term.codes, a] * evaluate(column, n) for a, column in enumerate(term.columns))
