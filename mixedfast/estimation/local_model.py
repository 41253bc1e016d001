"""What a search sees from the theta it stands at: derivatives, the step they call for, and what that step will leave.

Three ways to look, one shape (`Outlook`). `Direct` takes every trace exactly, or does without those of the Hessian. `Probing`
is for factors so large that traces cost much more than a factorization: from afar all traces come from a few random probes;
near by the gradient is exact, and the Hessian's traces come from the probes. `Neighbour` is for models of nearly the same rows
as one that is fitted: the gradient is exact, and the Hessian is the other's.

Promises are in units of the deviance: the Newton decrement ``g'H^-1 g / 2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from mixedfast.covariance import _theta
from mixedfast.estimation.pls import PLSSystem

__all__ = [
    "CERTIFICATE_TOLERANCE",
    "Direct",
    "HessianKind",
    "Neighbour",
    "Outlook",
    "Probing",
    "View",
    "newton_step",
    "outlook_of",
]

#: What a Hessian rests on: all traces exact, none, traces estimated from random probes; or it is that of nearly the same rows.
HessianKind = Literal["exact", "average information", "from probes", "of a neighbour"]

#: A fit is called converged when the certificate promises less than this. One unit of deviance is about what noise
#: does; 1e-4 of it moves an estimate by under a hundredth of its standard error.
CERTIFICATE_TOLERANCE = 1e-4
#: A Hessian from elsewhere is given up when a step's promise is no less than this part of the one before.
_GAINED = 0.1
#: Eigenvalues of the Hessian are raised to this fraction of the largest before a step is taken.
_FLOOR = 1e-9


class View(NamedTuple):
    """From one theta.

    ``gradient`` (m,) and ``hessian`` (m,m); ``step`` (m,) that they call for; ``promise``, by how much a quadratic model says
    it lowers the deviance; ``left``, what is foreseen to be left after it, infinite where nothing can be foreseen.
    """

    gradient: np.ndarray
    hessian: np.ndarray
    step: np.ndarray
    promise: float
    left: float


class Outlook(Protocol):
    """A way to look.

    ``kind`` is what its Hessians rest on near the optimum; ``foresees``: whether the step may be the last though its promise is
    past the certificate's tolerance, so that the certificate is what the step will leave.
    """

    kind: HessianKind
    foresees: bool

    def look(self, system: PLSSystem, before: float) -> View:
        """From the theta last solved; `before` is the promise of the step that led there, infinite when none did."""
        ...

    def sharpen(self) -> bool:
        """Look more exactly from now on; False when that cannot be."""
        ...


class Direct:
    """The exact gradient, with the exact Hessian or with average information."""

    foresees = False

    def __init__(self, exact: bool) -> None:
        self.exact = exact
        self.kind: HessianKind = "exact" if exact else "average information"

    def look(self, system: PLSSystem, before: float) -> View:
        """See `Outlook`."""
        gradient, hessian = system.derivatives(self.exact)
        step, promise = newton_step(gradient, hessian)
        return View(gradient, hessian, step, promise, self._left(promise, before))

    def _left(self, promise: float, before: float) -> float:
        """Newton's method squares the error of theta, average information multiplies it by a constant."""
        if not 0.0 < promise < before < np.inf or promise >= CERTIFICATE_TOLERANCE:
            return np.inf
        rate = promise / before
        return promise * (rate**2 if self.exact else rate)

    def sharpen(self) -> bool:
        """See `Outlook`."""
        return False


@dataclass
class Probing:
    """Traces from random probes, always the same ones.

    Parameters
    ----------
    probes : int
        Random vectors a factor.
    few_levels : int
        Factors of no more levels are met by unit vectors instead: what those tell is exact.
    far : float
        All traces come from probes as long as a step promises more than this: such a step is never the last.
    doubt : float
        The Hessian's error is taken to be so many of its standard errors.

    Notes
    -----
    The defaults were tried on 97 crossed models of 6 to 400 levels a factor, made at random. All ended within 1e-5 standard
    errors of the optimum, after 644 looks. Four or sixteen probes take 648 or 636 looks. A doubt of 1 or 2 saves 7 or 4 looks,
    and with 1 one end in 43 had more left than foreseen. ``far=10`` takes 695 looks and ended twice in another optimum;
    ``far=0.1`` saves none, and one model was 3e-5 standard errors off. ``few_levels=0`` takes 677 looks, 100 takes 601, but a
    unit vector costs as much as a probe.
    """

    probes: int = 8
    few_levels: int = 24
    far: float = 1.0
    doubt: float = 3.0

    foresees = True

    def __post_init__(self) -> None:
        self.kind: HessianKind = "from probes"
        self._rough = True

    def look(self, system: PLSSystem, before: float) -> View:
        """See `Outlook`. Far away average information is the better model; it needs no traces."""
        traces = system.probe(self.probes, self.few_levels)
        if self._rough:
            gradient, hessian = system.rough(traces)
            step, promise = newton_step(gradient, hessian)
            if promise > self.far:
                return View(gradient, hessian, step, promise, np.inf)
            self._rough = False
        (gradient, hessian), apart = system.near(traces)
        step, promise = newton_step(gradient, hessian)
        bent = _bent(promise, before, min(group.n_levels for group in system.cp.groups))
        return View(
            gradient, hessian, step, promise, bent + self.doubt**2 * _missed(step, hessian, apart)
        )

    def sharpen(self) -> bool:
        """See `Outlook`."""
        was, self._rough = self._rough, False
        return was


class Neighbour:
    """The exact gradient, with the Hessian at the optimum of a model of nearly the same rows, from which the search starts.

    Parameters
    ----------
    hessian : (m, m) array
        Of the other model, at its optimum; exact.
    levels, share : int, float
        What sets the two apart: one of so many levels, with this share of the rows.
    instead : Outlook
        How to look once a step gained little.

    Notes
    -----
    What a step leaves is the promise times the square of the relative error of the Hessian. A level whose squared effect is z
    times its expectation adds about ``z - 1`` to the gradient in the logarithm of the variance, of standard deviation
    ``sqrt(2 levels)``, and about ``2 z - 1`` to a Hessian of about ``levels``: ``1 / levels + 4 sqrt(promise / levels)`` of it,
    and no less than its share of the rows. Seen on InstEval (levels of three factors), penicillin and hsb: between 0.05 and
    0.8 of that. From the second step on the last two promises tell.
    """

    kind: HessianKind = "of a neighbour"
    foresees = True

    def __init__(self, hessian: np.ndarray, levels: int, share: float, instead: Outlook) -> None:
        self.hessian, self.levels, self.share, self.instead = hessian, levels, share, instead
        self._trusted = True

    def look(self, system: PLSSystem, before: float) -> View:
        """See `Outlook`."""
        if self._trusted:
            gradient = system.gradient()
            step, promise = newton_step(gradient, self.hessian)
            if promise < _GAINED * before:
                return View(
                    gradient,
                    self.hessian,
                    step,
                    promise,
                    promise * self._error(promise, before) ** 2,
                )
            self._trusted = False
        return self.instead.look(system, before)

    def _error(self, promise: float, before: float) -> float:
        """What part of the Hessian is another."""
        if before < np.inf:
            return float(np.sqrt(promise / before))
        return max(1.0 / self.levels, self.share) + 4.0 * float(np.sqrt(promise / self.levels))

    def sharpen(self) -> bool:
        """See `Outlook`."""
        was, self._trusted = self._trusted, False
        return was or self.instead.sharpen()


def outlook_of(system: PLSSystem, exact: bool) -> Outlook:
    """`Probing` where the engine's derivatives are dear, unless the exact Hessian is asked for."""
    return Probing() if system.engine.is_costly and not exact else Direct(exact)


def newton_step(gradient: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, float]:
    """A descent step and the decrease of the deviance it promises, from |H|'s eigenvalues."""
    return _theta.newton_step(gradient, np.ascontiguousarray(hessian), _FLOOR)


def _bent(promise: float, before: float, fewest: int) -> float:
    """What Newton's method leaves of a promise, by the one before; infinite where nothing can be foreseen.

    At least this: `fewest` levels tell a variance to a share of sqrt(2 / fewest), and on that scale the deviance bends away
    from its quadratic model.
    """
    if not 0.0 < promise < before < np.inf:
        return np.inf
    return promise * ((promise / before) ** 2 + promise / fewest)


def _missed(step: np.ndarray, hessian: np.ndarray, apart: np.ndarray) -> float:
    """The decrement that a standard error of an estimated Hessian leaves after the step; infinite where there is no minimum.

    With an error E of the Hessian the gradient after the step is E step. `apart`, by what (estimates,m,m) differ from their
    mean, tells the variance of the mean.
    """
    values, vectors = np.linalg.eigh(hessian)
    if values[0] <= 0.0:
        return np.inf
    estimates = len(apart)
    if estimates == 1:
        return 0.0
    gradients = apart @ step @ vectors
    return float(0.5 * (gradients**2 / values).sum() / (estimates * (estimates - 1)))
