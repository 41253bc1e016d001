"""Conditional modes of the random effects: penalized Newton steps.

The modes u minimize ``J = -sum l_i(eta_i) + |u|^2 / 2`` with ``eta = X beta + Z Lambda u``. At the
minimum ``u = Lambda' e`` with e = Z's, so the search runs over v with ``u = Lambda' v``, b = Lambda
u = H v: it needs no inverse of Lambda, and v changes little when Lambda does. A step from v is

    d = Lambda M^-1 Lambda' (e - v)   in b,      (e - v) - Z'WZ d   in v,

the decrement (e - v)'d, with M = Lambda'Z'WZ Lambda + I at the observed weights (Newton), or at the
expected ones where M is not positive definite then (Fisher scoring).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.engines.interface import Engine
from mixedfast.engines.layout import times_a
from mixedfast.estimation.glmm.families import Family, FamilyRows
from mixedfast.estimation.glmm.rows import GLMMRows

__all__ = ["ModeSearch", "Modes"]

#: The search ends with the step after a decrement below this (deviance units, per random effect):
#: Newton's method squares it, so that the log determinant, which the modes change to first order,
#: has all its digits, and differences of gradients have nine.
_DECREMENT = 1e-12
#: Largest change of a linear predictor in one step: further away the weights say nothing.
_LONGEST_STEP = 4.0
_MAX_STEPS = 100
_MAX_HALVINGS = 40
#: Rise of J, relative to its terms, that is taken for rounding.
_ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class Modes:
    """Conditional modes at one parameter.

    ``b`` (J,K) of each group; ``eta`` (n,); the ``rows`` of the family there, with the derivatives
    of the weights; ``e`` = Z's of each group, from which ``b = H e``; ``loglik`` and ``penalty`` =
    |u|^2.
    """

    b: list[np.ndarray]
    eta: np.ndarray
    rows: FamilyRows
    e: list[np.ndarray]
    loglik: float
    penalty: float


class ModeSearch:
    """The search for conditional modes, which starts from those of the last parameter.

    Parameters
    ----------
    rows : GLMMRows
    engine : Engine
    """

    def __init__(self, rows: GLMMRows, engine: Engine) -> None:
        self.rows, self.engine = rows, engine
        self._v = [np.zeros((g.n_levels, g.k)) for g in rows.cp.groups]
        #: Newton steps so far.
        self.steps = 0

    def restart(self) -> None:
        """Forget the last modes and start from zero."""
        self._v = [np.zeros_like(v) for v in self._v]

    def find(
        self, family: Family, lambdas: list[np.ndarray], fixed: np.ndarray, extra: np.ndarray
    ) -> Modes | None:
        """Find the modes.

        Parameters
        ----------
        family : Family
        lambdas : list of (K,K) arrays
        fixed : (n,) array
            X beta + offset.
        extra : (r,) array
            Further parameters of the family.

        Returns
        -------
        Modes or None
            None where there are none to find: the family is not defined at any start, or the search
            does not end.
        """
        self._extra = extra
        found = self._find(family, lambdas, fixed)
        if found is None and any(v.any() for v in self._v):
            self.restart()
            found = self._find(family, lambdas, fixed)
        if found is not None:
            self._v = found.e
        return found

    def _find(self, family: Family, lambdas: list[np.ndarray], fixed: np.ndarray) -> Modes | None:
        data = self.rows
        H = [block @ block.T for block in lambdas]
        v = self._v
        b = [own @ block for own, block in zip(v, H, strict=True)]
        random = data.random(b)
        now = self._evaluate(family, fixed + random)
        value = self._objective(now, b, v)
        if not np.isfinite(value):
            return None
        effects = sum(own.size for own in v)
        for _ in range(_MAX_STEPS):
            r = [own - old for own, old in zip(data.by_level(now.s), v, strict=True)]
            step = self._step(now, lambdas, r)
            if step is None:
                return None
            db, dv = step
            decrement = _dot(r, db)
            self.steps += 1
            change = data.random(db)
            longest = float(np.abs(change).max(initial=0.0))
            length = min(1.0, _LONGEST_STEP / longest) if longest > 0.0 else 1.0
            last = decrement <= _DECREMENT * effects and length == 1.0
            moved = None
            for _ in range(_MAX_HALVINGS):
                eta = fixed + random + length * change
                trial_b = [old + length * d for old, d in zip(b, db, strict=True)]
                trial_v = [old + length * d for old, d in zip(v, dv, strict=True)]
                trial = self._evaluate(family, eta, last)
                new = self._objective(trial, trial_b, trial_v)
                if new <= value + _ROUNDING * (1.0 + abs(value)):
                    moved = trial, trial_b, trial_v, new
                    break
                length *= 0.5
            if moved is None:
                return None
            now, b, v, value = moved
            random = random + length * change
            if last:
                e = data.by_level(now.s)
                return Modes(b, fixed + random, now, e, float(now.l.sum()), _dot(b, e))
        return None

    def _evaluate(self, family: Family, eta: np.ndarray, third: bool = False) -> FamilyRows:
        return family.rows(eta, self.rows.y, self.rows.size, self._extra, third)

    @staticmethod
    def _objective(now: FamilyRows, b: list[np.ndarray], v: list[np.ndarray]) -> float:
        return -float(now.l.sum()) + 0.5 * _dot(b, v)

    def _step(
        self, now: FamilyRows, lambdas: list[np.ndarray], r: list[np.ndarray]
    ) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
        """Compute a step in b and in v; None where no weights give a positive definite M."""
        for weights in (now.h, now.w):
            cp = self.rows.products(weights)
            self.engine.take(cp)
            if self.engine.factor(lambdas) is not None:
                break
            if weights is now.w:
                return None
        db = [own[:, :, 0] for own in self.engine.solve([own[:, :, None] for own in r])]
        Adb = times_a(cp, [own[:, :, None] for own in db])
        return db, [own - a[:, :, 0] for own, a in zip(r, Adb, strict=True)]


def _dot(left: list[np.ndarray], right: list[np.ndarray]) -> float:
    return sum(float(np.vdot(a, b)) for a, b in zip(left, right, strict=True))
