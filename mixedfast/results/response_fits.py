"""`ResponseFits`: one model refitted to many responses."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast._threads import thread_pool
from mixedfast._validation import available_cores
from mixedfast.covariance.relative import SINGULAR_TOLERANCE
from mixedfast.crossprod.new_response import ResponseProducts
from mixedfast.data.categories import Categorical
from mixedfast.data.frames import as_table, rows_of
from mixedfast.data.frames_out import apart, returns_callers_tables
from mixedfast.engines.threads import on_one_blas_thread
from mixedfast.errors import DataError, MixedFastError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.refits import Refits, lacks_digits, new_engine, refit
from mixedfast.estimation.several_optima import may_have_several_optima
from mixedfast.inference.ddf.flat_directions import flat_directions, rest_on_flat
from mixedfast.results.refit import Refit
from mixedfast.results.tabled import Tabled
from mixedfast.results.tables import theta_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ResponseFits", "refit_responses"]

#: Predicted or expected decrease of the deviance with which searches end: theta is within 1e-6
#: standard errors of the optimum.
_TOLERANCE = 1e-12
#: Numbers of products held at a time, 8 MB.
_BATCH_NUMBERS = 1_000_000
#: Most responses of one batch: Ctrl-C waits for the end of a batch.
_BATCH_MAX = 256


class Each(Sequence[Refit]):
    """The full result of each response, fitted when it is first used."""

    def __init__(self, fits: Sequence[Callable[[], Refit]]) -> None:
        self._fits = fits
        self._done: dict[int, Refit] = {}

    def __len__(self) -> int:
        return len(self._fits)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        place = range(len(self))[i]
        if place not in self._done:
            self._done[place] = self._fits[place]()
        return self._done[place]

    def __repr__(self) -> str:
        return f"<results of {len(self)} responses>"


@dataclass(frozen=True, eq=False, repr=False)
class ResponseFits(Tabled):
    """One model refitted to many responses; made by ``m.refit(Y)``.

    ``to_frame()`` has one row per response: ``response, n, criterion, converged, singular, sigma``,
    theta (``theta_ses|school``), the coefficients by their names, their standard errors
    (``se_ses``), and ``error``: the message of a response that cannot be fitted, whose numbers are
    missing.

    Parameters
    ----------
    formula : str
    names : tuple
        The name or number of each response that was fitted.
    each : sequence of LMMResult
        The full result of each response, fitted when it is first used.
    n : (R,) int array
        Rows used.
    criterion, sigma : (R,) arrays
    converged, singular : (R,) bool arrays
    theta : (R, m) array
    theta_names : tuple of str
    coefficients, std_errors : (R, p) arrays
    terms : tuple of str
        The names of the coefficients.
    messages : tuple of str or None
    requested : int
        Number of responses; more than were fitted after an interrupt.
    library : {"pandas", "polars", "pyarrow"}
    """

    formula: str
    names: tuple[Any, ...]
    each: Sequence[Refit]
    n: np.ndarray
    criterion: np.ndarray
    sigma: np.ndarray
    converged: np.ndarray
    singular: np.ndarray
    theta: np.ndarray
    theta_names: tuple[str, ...]
    coefficients: np.ndarray
    std_errors: np.ndarray
    terms: tuple[str, ...]
    messages: tuple[str | None, ...]
    requested: int
    library: str = "pandas"

    def __len__(self) -> int:
        return len(self.names)

    @property
    @returns_callers_tables
    def params(self) -> pd.DataFrame:
        """The coefficients, one row per response."""
        return self._part(self.coefficients)

    @property
    @returns_callers_tables
    def bse(self) -> pd.DataFrame:
        """The standard errors of the coefficients, one row per response."""
        return self._part(self.std_errors)

    def _part(self, values: np.ndarray) -> pd.DataFrame:
        import pandas as pd

        index = pd.Index(list(self.names), name="response")
        return pd.DataFrame(values, index=index, columns=list(self.terms))

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        statistics = {
            "response": list(self.names),
            "n": self.n,
            "criterion": self.criterion,
            "converged": self.converged,
            "singular": self.singular,
            "sigma": self.sigma,
        }
        ours = [*statistics, *self.theta_names, *(f"se_{name}" for name in self.terms), "error"]
        names = iter(apart(ours, list(self.terms)))
        out: dict[str, Any] = {next(names): values for values in statistics.values()}
        out |= {next(names): values for values in self.theta.T}
        out |= dict(zip(self.terms, self.coefficients.T, strict=True))
        out |= {next(names): values for values in self.std_errors.T}
        out[next(names)] = list(self.messages)
        return pd.DataFrame(out)

    def __repr__(self) -> str:
        done = f"{len(self)}" if len(self) == self.requested else f"{len(self)} of {self.requested}"
        failed = sum(message is not None for message in self.messages)
        missed = int((~self.converged).sum()) - failed
        return (
            f"<ResponseFits {self.formula}; {done} responses; {int(self.singular.sum())} singular; "
            f"{missed} not converged; {failed} with an error>"
        )


@dataclass(frozen=True, eq=False)
class _Part:
    """Refits of some responses to the same rows, and the messages of those that have none."""

    model: Refit
    places: np.ndarray
    found: Refits
    shift: np.ndarray
    values: np.ndarray
    errors: dict[int, str]


@on_one_blas_thread
def refit_responses(
    m: Refit, Y: Any, threads: int | None = None, progress: Show = "auto"
) -> ResponseFits:
    """Refit a model to every column of a table or array; see `LMMResult.refit`."""
    names, values = _responses(m, Y)
    R = len(names)
    parts: list[_Part] = []
    errors: dict[int, str] = {}
    try:
        with bar(R, "refitting", progress) as advance:
            for rows, places in _patterns(values):
                try:
                    model = m if rows is None else _on_rows(m, rows)
                except MixedFastError as error:
                    errors |= dict.fromkeys(places.tolist(), str(error))
                    advance(len(places))
                    continue
                own = values if rows is None else values[rows]
                parts += _batches(model, own, places, threads, advance)
    except KeyboardInterrupt:
        if not parts:
            raise
        done = sum(len(part.places) for part in parts)
        sys.stderr.write(f"interrupted: the {done} responses finished so far are kept\n")
    return _collect(m, names, parts, errors, R)


def _responses(m: Refit, Y: Any) -> tuple[list[Any], np.ndarray]:
    """Read the names of responses, and their values (n, R) on the rows of the fit."""
    design = m._rows("refit")
    if hasattr(Y, "columns") or hasattr(Y, "column_names"):
        table = as_table(Y)
        names: list[Any] = list(table.names)
        columns = []
        for name in names:
            column = table.column(name)
            if isinstance(column, Categorical):
                raise DataError(f"column {name!r} holds text or categories, and a response numbers")
            columns.append(column.values.astype(np.float64))
        values = np.column_stack(columns) if columns else np.empty((table.n, 0))
    else:
        try:
            values = np.asarray(Y, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"responses must be numbers: {error}") from error
        names = list(range(values.shape[1]))
    if not names:
        raise DataError("Y has no columns: give one response per column")
    if len(values) != design.n:
        whole = design.n + design.n_dropped
        if design.kept_rows is None or len(values) != whole:
            other = f" (or {whole}, one for each row of the data)" if design.n_dropped else ""
            raise DataError(f"{len(values)} values for the {design.n} rows of the fit{other}")
        values = values[design.kept_rows]
    infinite = np.isinf(values).any(axis=0)
    if infinite.any():
        raise DataError(f"response {names[int(infinite.argmax())]!r} holds infinite values")
    return names, values


def _patterns(values: np.ndarray) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
    """Group responses by their rows without missing values: rows (None for all), and columns."""
    missing = np.isnan(values)
    some = missing.any(axis=0)
    if not some.all():
        yield None, np.flatnonzero(~some)
    groups: dict[bytes, list[int]] = {}
    for r in np.flatnonzero(some).tolist():
        groups.setdefault(np.packbits(missing[:, r]).tobytes(), []).append(r)
    for places in groups.values():
        yield np.flatnonzero(~missing[:, places[0]]), np.array(places)


def _on_rows(m: Refit, rows: np.ndarray) -> Refit:
    """Fit the model to some of its rows."""
    call, design = m._call, m._rows("refit")
    if not len(rows):
        raise DataError("every value of the response is missing")
    if call is None or "data" not in call.arguments:
        raise DataError(
            "responses with missing values need the table of the fit, and this result came without "
            "it: fit the model with lmer"
        )
    at = rows if design.kept_rows is None else design.kept_rows[rows]
    vectors = {
        name: np.asarray(value)[at]
        for name in ("weights", "offset")
        if (value := call.arguments.get(name)) is not None and not isinstance(value, str)
    }
    with warnings.catch_warnings():  # of the response of the fit on these rows
        warnings.simplefilter("ignore")
        return m.update(data=rows_of(call.arguments["data"], at), na_action="omit", **vectors)


def _batches(
    m: Refit,
    values: np.ndarray,
    places: np.ndarray,
    threads: int | None,
    advance: Callable[[int], Any],
) -> Iterator[_Part]:
    """Refit responses in batches on threads; yield each batch when it is done."""
    fit, design = _mixed(m), m._rows("refit")
    products = ResponseProducts(fit.cp, design)
    several = may_have_several_optima(fit.cp)
    numbers = sum(group.n_levels * group.k for group in fit.cp.groups) + 3 * design.n
    size = int(np.clip(_BATCH_NUMBERS // numbers, 1, _BATCH_MAX))

    def work(own: np.ndarray) -> _Part:
        Y = np.ascontiguousarray(values[:, own])
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            responses, shift = products.of(Y)
        found = _nothing_found(fit, len(own))
        # squares that overflow or vanish have a message of their own
        usable = np.flatnonzero(np.isfinite(responses.yy) & (responses.yy > 0.0) & (not several))
        if len(usable):
            these = responses.of(usable)
            quick = refit(fit, these, new_engine(fit), _TOLERANCE)
            trusted = quick.converged & ~lacks_digits(fit, these, quick)
            _place(found, usable[trusted], quick, trusted)
        failed = _one_by_one(m, Y, shift, found, np.flatnonzero(~found.converged))
        return _Part(m, own, found, shift, Y, {int(own[r]): text for r, text in failed.items()})

    batches = [places[first : first + size] for first in range(0, len(places), size)]
    with thread_pool(min(threads or available_cores(), len(batches))) as workers:
        for future in as_completed([workers.submit(work, own) for own in batches]):
            part = future.result()
            yield part
            advance(len(part.places))


def _nothing_found(fit: Fit, R: int) -> Refits:
    """Make the estimates of responses that are not fitted yet."""
    p = fit.cp.p
    return Refits(
        theta=np.full((R, len(fit.theta_internal)), np.nan),
        beta=np.full((R, p), np.nan),
        LX=np.full((R, p, p), np.nan),
        deviance=np.full(R, np.nan),
        r2=np.full(R, np.nan),
        converged=np.zeros(R, dtype=bool),
    )


def _place(found: Refits, at: np.ndarray, other: Refits, which: np.ndarray) -> None:
    """Write some refits in the places of others."""
    for field in fields(Refits):
        getattr(found, field.name)[at] = getattr(other, field.name)[which]


def _one_by_one(
    m: Refit, Y: np.ndarray, shift: np.ndarray, found: Refits, places: np.ndarray
) -> dict[int, str]:
    """Refit responses as single fits, from all starts and from rows where sums lack digits.

    Write them in the scale of the fit of `m`; return the messages of those that have no fit.
    """
    cp = _mixed(m).cp
    failed = {}
    for r in places.tolist():
        other = replace(m._rows("refit"), y=np.ascontiguousarray(Y[:, r]))
        try:
            fit = _as_mixed(m._fit_response(other))
        except MixedFastError as error:
            failed[r] = str(error)
            continue
        factor = cp.scale[-1] / fit.cp.scale[-1]
        solution = fit.solution
        beta = solution.beta * factor
        if cp.constant is not None and cp.ones is not None:
            beta = beta + (fit.cp.shift[-1] - shift[r]) * cp.scale[-1] * cp.ones
        found.theta[r], found.beta[r], found.LX[r] = fit.theta_internal, beta, solution.LX
        found.deviance[r], found.r2[r] = solution.deviance, solution.r2 * factor**2
        found.converged[r] = fit.optimum is None or fit.optimum.converged
    return failed


def _collect(
    m: Refit, names: list[Any], parts: list[_Part], errors: dict[int, str], requested: int
) -> ResponseFits:
    """Join batches in the order of the responses, in the user's units."""
    cp = _mixed(m).cp
    terms, thetas = tuple(cp.meta.x_names), tuple(theta_names(cp))
    R, p = len(names), len(terms)
    n, known = np.zeros(R, dtype=int), np.zeros(R, dtype=bool)
    errors = errors | {place: text for part in parts for place, text in part.errors.items()}
    criterion, sigma = np.full((2, R), np.nan)
    converged, singular = np.zeros((2, R), dtype=bool)
    theta, (params, bse) = np.full((R, len(thetas)), np.nan), np.full((2, R, p), np.nan)
    fits: list[Any] = [partial(_failed, message) for message in map(errors.get, range(R))]
    for part in parts:
        at, found, fit = part.places, part.found, _mixed(part.model)
        own = fit.cp
        known[at], n[at], criterion[at] = True, own.n, found.deviance
        sigma[at] = np.sqrt(found.r2 / fit.nu) / own.scale[-1]
        theta[at] = own.covariance.to_user(found.theta)
        small = np.abs(own.covariance.elements(found.theta)) < SINGULAR_TOLERANCE
        singular[at] = (small & own.covariance.diagonal).any(axis=1) & found.converged
        scaling = replace(own.scaling, shift=np.append(own.shift[:-1], 0.0))
        beta = scaling.to_user_beta(found.beta)
        if own.constant is not None:
            beta = beta + part.shift[:, None] * own.constant
        half = scaling.beta_transform() @ np.linalg.inv(found.LX).swapaxes(1, 2)
        errors_of = sigma[at][:, None] * np.sqrt((half**2).sum(axis=2))
        flat = bool(flat_directions(fit))
        if flat:
            errors_of[:, np.diag(rest_on_flat(fit, np.eye(own.p)))] = np.nan
        converged[at] = found.converged & (not flat)
        params[np.ix_(at, own.kept)], bse[np.ix_(at, own.kept)] = beta, errors_of
        for place, y in zip(at.tolist(), part.values.T, strict=True):
            fits[place] = partial(part.model.refit, y)
    known[list(errors)] = True  # those without any row too
    kept = np.flatnonzero(known)
    return ResponseFits(
        m.formula,
        tuple(names[i] for i in kept),
        Each([fits[i] for i in kept]),
        n[kept],
        criterion[kept],
        sigma[kept],
        converged[kept],
        singular[kept],
        theta[kept],
        thetas,
        params[kept],
        bse[kept],
        terms,
        tuple(errors.get(int(i)) for i in kept),
        requested,
        m.library,
    )


def _mixed(m: Refit) -> Fit:
    """Return the fit of a mixed model."""
    return _as_mixed(m._fit)


def _as_mixed(fit: Any) -> Fit:
    assert isinstance(fit, Fit)
    return fit


def _failed(message: str | None) -> Refit:
    """Raise the error of a response that cannot be fitted."""
    raise DataError(message or "the response was not fitted")
