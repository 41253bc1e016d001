"""The convergence report: whether the search found an optimum, and singular terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixedfast.estimation.fit import Curvature, Fit
from mixedfast.estimation.several_optima import may_have_several_optima
from mixedfast.estimation.steps import CERTIFICATE_TOLERANCE
from mixedfast.inference.ddf.flat_directions import flat_directions

__all__ = ["Convergence", "convergence"]

#: Improvements of the deviance below this are reported as "< 1e-12".
_NOTHING = 1e-12
#: Rounding of the deviance above this is reported.
_VISIBLE = 1e-6


@dataclass(frozen=True)
class Convergence:
    """A convergence report; ``str()`` gives its text.

    Parameters
    ----------
    converged : bool
    singular : tuple of str
        One statement per random term with a singular covariance matrix: the zero variances or
        perfect correlations.
    could_fall : float
        The largest possible further improvement in deviance, by a quadratic model.
    message : str
        The message of the search.
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

        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.sentences)
        return f"<ul>{items}</ul>"


def convergence(fit: Fit) -> Convergence:
    """Report whether the search converged, and which covariance matrices are singular."""
    singular = tuple(_singular_terms(fit))
    notes = [
        f"Singular fit: {what}. The fit is valid; a simpler random part would fit as well."
        for what in singular
    ]
    flat = tuple(map(str, flat_directions(fit)))
    notes += [
        f"Not identified: {what}. Other values fit equally well, and standard errors "
        "and tests that depend on it are NaN."
        for what in flat
    ]
    best = fit.optimum
    if best is None:
        first = "No search: theta was given, so nothing had to converge."
        return Convergence(not flat, singular, 0.0, "theta was given", (first, *notes))
    curvature = fit.curvature()
    further = max(curvature.decrement, curvature.boundary_decrement, 0.0)
    if best.converged and flat:
        first = (
            "Not converged: the search ended at one of many equally good estimates, because the "
            "design does not identify them."
        )
    elif best.converged:
        searched_again = bool(singular) or may_have_several_optima(fit.cp)
        where = "" if searched_again else " to a local optimum"
        first = (
            f"Converged{where}. (Largest possible further improvement in deviance: "
            f"{_size(further)}.) An improvement of {CERTIFICATE_TOLERANCE:g} would change no "
            "estimate by more than a hundredth of its standard error."
        )
    else:
        first = (
            f"Not converged: {best.message}. (Expected further improvement in deviance: about "
            f"{further:.2g}.) Estimates and tests may be inaccurate. Try other starting values "
            "(start=), rescale covariates (scale(x)), or use fewer random effects; convergence() "
            "of the simpler model shows whether that was sufficient."
        )
    if fit.resolution > _VISIBLE:
        notes.append(
            f"Rounding: the deviance is accurate to {fit.resolution:.1g} only, because random "
            "effects are much larger than the residuals, or one value of a covariate is much "
            "larger than the others. A smaller improvement cannot be detected."
        )
    search = (
        f"Search: {_count(best.iterations, 'iteration')}, {_count(best.evaluations, 'evaluation')} "
        f"of the deviance. {_source(curvature)}"
    )
    return Convergence(
        best.converged and not flat, singular, float(further), best.message, (first, *notes, search)
    )


def _count(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _size(further: float) -> str:
    """Write a possible improvement."""
    return f"{further:.1g}" if further > _NOTHING else f"< {_NOTHING:g}"


def _source(curvature: Curvature) -> str:
    """Name the second derivatives from which the possible improvement is computed."""
    if curvature.exact:
        return "The possible improvement is computed from the gradient and the exact Hessian."
    return (
        "The possible improvement is computed from the gradient and the average information, "
        "because the exact Hessian is too costly for this model."
    )


def _singular_terms(fit: Fit) -> Iterator[str]:
    """Describe the zero variances or perfect correlations of each singular term."""
    for term, H, singular in zip(
        fit.covariance.terms, fit.relative, fit.singular_terms, strict=True
    ):
        if not singular:
            continue
        group = fit.cp.groups[term.group]
        names = group.names[term.start : term.start + term.k]
        zero = [name for name, variance in zip(names, np.diag(H), strict=True) if variance == 0.0]
        between = f"between levels of {group.name}"
        if len(zero) > 1:
            yield f"the variances of {_listed(zero)} {between} are estimated as zero"
        elif zero:
            yield f"the variance of {zero[0]} {between} is estimated as zero"
        elif term.k == 1:
            yield f"the variance of {names[0]} {between} is estimated as nearly zero"
        elif term.k == 2:
            sign = "1" if H[0, 1] > 0 else "-1"
            yield f"the correlation of {_listed(names)} {between} is estimated as {sign}"
        else:
            yield (
                f"the covariance matrix of {_listed(names)} {between} is estimated with rank "
                f"below {term.k}"
            )


def _listed(names: tuple[str, ...] | list[str]) -> str:
    """Join names by commas and "and"."""
    return f"{', '.join(names[:-1])} and {names[-1]}"
