"""Methods of statsmodels that are not offered: they raise an error that names an alternative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from mixedfast.errors import NotDefinedError

__all__ = ["refused"]


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
