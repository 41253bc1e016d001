"""What statsmodels has and this door has not: names that answer with what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from mixedfast.errors import NotDefinedError

__all__ = ["refused"]


def refused(name: str, instead: str) -> Callable[..., NoReturn]:
    """A method that takes anything and raises.

    Examples
    --------
    >>> refused("fit_regularized", "mixedfast has no penalized fits")(None, alpha=1.0)
    Traceback (most recent call last):
    ...
    mixedfast.errors.NotDefinedError: fit_regularized is not offered: mixedfast has no penalized fits
    """

    def method(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotDefinedError(f"{name} is not offered: {instead}")

    method.__name__ = name
    method.__doc__ = f"Not offered: {instead}."
    return method
