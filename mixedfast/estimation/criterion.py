"""`Criterion`: a function to minimize, with its derivatives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

__all__ = ["Criterion", "Derivatives", "Escape"]


class Derivatives(NamedTuple):
    """First and second derivatives: ``gradient`` (m,) and ``hessian`` (m,m)."""

    gradient: np.ndarray
    hessian: np.ndarray


class Escape(NamedTuple):
    """A way down that the Hessian does not show.

    The decrease that a quadratic model predicts, and the point it leads to.
    """

    decrease: float
    target: np.ndarray


class Criterion(Protocol):
    """A function to minimize, in units of the deviance.

    `value` evaluates it; everything else refers to the point of the last evaluation.
    """

    #: Evaluations so far, and how many of them found no value.
    evaluations: int
    rejected: int

    @property
    def lower(self) -> np.ndarray | None:
        """Lower bounds of the parameters, (m,); None for a search free of bounds."""

    def value(self, x: np.ndarray) -> float:
        """Evaluate the criterion at x (m,); infinite where it is not defined."""

    def derivatives(self, exact: bool) -> Derivatives:
        """Compute the gradient and the Hessian.

        Where not `exact`, an approximation to the Hessian that costs less.
        """

    @property
    def is_interior(self) -> bool:
        """Whether no way down can be hidden from the derivatives here."""

    def escape(self) -> Escape:
        """Find the best way down that the derivatives do not show.

        Its decrease is zero where there is none.
        """

    @property
    def safe_start(self) -> np.ndarray | None:
        """A second point to start from when there is no value at the first, (m,)."""
