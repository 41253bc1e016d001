"""How the search for the optimum went, in words for somebody who has data and no optimizer in mind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixedfast.estimation.fit import Fit
from mixedfast.estimation.newton import CERTIFICATE_TOLERANCE

__all__ = ["Convergence", "convergence"]

#: Falls of the deviance smaller than this are not told apart.
_NOTHING = 1e-12
#: Rounding of the deviance by more than this is said.
_VISIBLE = 1e-6


@dataclass(frozen=True)
class Convergence:
    """A verdict on a fit; ``str()`` is what it means.

    Parameters
    ----------
    converged : bool
    singular : tuple of str
        Random terms whose covariance matrix is singular, each with what is zero or perfectly correlated.
    could_fall : float
        By how much the deviance could still fall, as a quadratic model sees it.
    message : str
        How the search itself says that it ended.
    sentences : tuple of str
    """

    converged: bool
    singular: tuple[str, ...]
    could_fall: float
    message: str
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        return (
            "<ul>"
            + "".join(f"<li>{escape(sentence)}</li>" for sentence in self.sentences)
            + "</ul>"
        )


def convergence(fit: Fit) -> Convergence:
    """What became of the search, and what a singular fit means."""
    singular = tuple(_singular(fit))
    told = [
        f"Singular: {what}. That is where the likelihood is highest, so the estimates stand; a random part without "
        "this direction fits as well."
        for what in singular
    ]
    best = fit.optimum
    if best is None:
        return Convergence(
            True,
            singular,
            0.0,
            "theta was given",
            ("theta was given, not searched for: nothing had to converge.", *told),
        )
    curvature = fit.curvature()
    falls = max(curvature.decrement, curvature.boundary_decrement, 0.0)
    took = f"{best.iterations} iterations, {best.evaluations} evaluations of the deviance"
    if best.converged:
        first = (
            f"Converged ({took}): by gradient and curvature the deviance could fall by {_size(falls)} at most. Even "
            f"{CERTIFICATE_TOLERANCE:g} would move no estimate by more than a hundredth of its standard error."
        )
    else:
        first = (
            f"Not converged ({took}): {best.message}, and the deviance could still fall by about {falls:.2g}. Estimates and "
            "tests may be off. Try other starting values (start=), bring covariates to similar scales (scale(x)), or use fewer "
            "random effects; convergence() of the simpler model tells whether that was it."
        )
    if fit.resolution > _VISIBLE:
        told.append(
            "Rounding: random effects are so much larger than the residuals, or some value of a covariate than all others, "
            f"that the deviance is known to {fit.resolution:.1g} only. No certificate sees a fall that is smaller."
        )
    how = f"Judged by {'the exact Hessian' if curvature.exact else 'average information, for the exact Hessian would be dear'}."
    return Convergence(best.converged, singular, float(falls), best.message, (first, *told, how))


def _size(falls: float) -> str:
    return f"{falls:.1g}" if falls > _NOTHING else f"less than {_NOTHING:g}"


def _singular(fit: Fit) -> Iterator[str]:
    """What is zero, or perfectly correlated, in each singular term."""
    for term, H, singular in zip(
        fit.covariance.terms, fit.relative, fit.singular_terms, strict=True
    ):
        if not singular:
            continue
        group = fit.cp.groups[term.group]
        names = group.names[term.start : term.start + term.k]
        zero = [name for name, variance in zip(names, np.diag(H), strict=True) if variance == 0.0]
        if zero:
            yield f"no variance of {' or of '.join(zero)} between the levels of {group.name} is seen (estimate: zero)"
        elif term.k == 1:
            yield f"next to no variance of {names[0]} between the levels of {group.name} is seen"
        elif term.k == 2:
            yield f"{names[0]} and {names[1]} of {group.name} seem perfectly correlated (estimate: 1 or -1)"
        else:
            yield f"the {term.k} random effects {', '.join(names)} of {group.name} vary in fewer than {term.k} directions"
