"""How far long work is: one bar for all of it, by tqdm where that is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, TypeAlias

from mixedfast._warnings import warn
from mixedfast.errors import ArgumentError

__all__ = ["Show", "bar"]

Show: TypeAlias = bool | Literal["auto"]

#: "auto" keeps quiet for work that is done sooner than this, in seconds.
_PATIENCE = 0.5


@contextmanager
def bar(
    total: int | None, label: str, show: Show = "auto", unit: str = ""
) -> Iterator[Callable[[int], Any]]:
    """A progress bar on stderr (a widget in notebooks), closed however the work ends.

    Parameters
    ----------
    total : int or None
        Units of work; None when nobody knows.
    label : str
        What is being done.
    show : {"auto", True, False}
        ``"auto"`` shows a bar where somebody may be looking (a terminal, a notebook) once the work has taken half a second.
    unit : str
        What is counted.

    Yields
    ------
    callable
        ``advance(count)``: so many more units are done.

    Raises
    ------
    ArgumentError
        For any other `show`.

    Warns
    -----
    UserWarning
        Once, when a bar is asked for with True and tqdm is not installed.

    Examples
    --------
    >>> with bar(3, "counting", show=False) as advance:
    ...     for _ in range(3):
    ...         advance(1)
    """
    if show not in (True, False, "auto"):
        raise ArgumentError(f'progress={show!r}: True, False or "auto"')
    tqdm = _tqdm() if show is True or (show == "auto" and _somebody_looks()) else None
    if tqdm is None:
        if show is True:
            _say_how_to_get_it()
        yield lambda count: None
        return
    delay = 0.0 if show is True else _PATIENCE
    with tqdm(total=total, desc=label, unit=unit or "it", delay=delay, leave=show is True) as shown:
        yield shown.update


def _somebody_looks() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _tqdm() -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


@cache
def _say_how_to_get_it() -> None:
    warn('progress=True shows nothing without tqdm: pip install "mixedfast[progress]"')
