"""Methods and arguments of statsmodels that are refused, or accepted without effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from mixedfast.errors import NotDefinedError

__all__ = ["METHODS", "OPTIMIZER_ARGUMENTS", "OTHER_MODELS_ARGUMENTS", "refused"]

#: Arguments that control the optimizers of statsmodels. They have no effect here.
OPTIMIZER_ARGUMENTS = frozenset(
    [
        "gtol",
        "maxiter",
        "eps",
        "epsilon",
        "maxcor",
        "ftol",
        "xtol",
        "tol",
        "disp",
        "maxls",
        "maxfun",
        "m",
        "pgtol",
        "factr",
        "norm",
        "callback",
        "retall",
        "skip_hessian",
        "warn_convergence",
        "avextol",
        "fhess_p",
        "approx_grad",
        "niter",
        "iprint",
    ]
)
#: Arguments of other models of statsmodels, of which its mixed models warn: there are no robust
#: covariances.
OTHER_MODELS_ARGUMENTS = frozenset(["cov_type", "cov_kwds", "use_t"])
METHODS = frozenset(
    ["bfgs", "lbfgs", "cg", "nm", "powell", "basinhopping", "minimize", "newton", "ncg"]
)


def refused(name: str, instead: str) -> Callable[..., NoReturn]:
    """Make a method that takes any arguments and raises.

    Examples
    --------
    >>> refused("fit_regularized", "no fits have penalties")(None, alpha=1.0)
    Traceback (most recent call last):
    ...
    mixedfast.errors.NotDefinedError: fit_regularized is not offered: no fits have penalties
    """

    def method(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotDefinedError(f"{name} is not offered: {instead}")

    method.__name__ = name
    method.__doc__ = f"Not offered: {instead}."
    return method
