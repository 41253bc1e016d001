"""Progress bars for long computations, drawn by tqdm where that is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, TypeAlias

from mixedfast.errors import ArgumentError, warn

__all__ = ["Show", "bar"]

Show: TypeAlias = bool | Literal["auto"]

#: Seconds before "auto" shows a bar: shorter computations show none.
_PATIENCE = 0.5


@contextmanager
def bar(
    total: int | None, label: str, show: Show = "auto", unit: str = ""
) -> Iterator[Callable[[int], Any]]:
    """Show a progress bar on stderr (in notebooks a widget) until the block ends.

    Parameters
    ----------
    total : int or None
        Units of work; None when the number is unknown.
    label : str
        Text at the left of the bar.
    show : {"auto", True, False}
        ``"auto"`` shows a bar in a terminal or notebook, once the work has taken half a second.
    unit : str
        Name of a unit.

    Yields
    ------
    callable
        ``advance(count)`` reports that `count` more units are done.

    Raises
    ------
    ArgumentError
        For any other `show`.

    Warns
    -----
    UserWarning
        Once, when `show` is True and tqdm is not installed.

    Examples
    --------
    >>> with bar(3, "counting", show=False) as advance:
    ...     for _ in range(3):
    ...         advance(1)
    """
    if show not in (True, False, "auto"):
        raise ArgumentError(f'progress={show!r}: give True, False or "auto"')
    tqdm = _tqdm() if show is True or (show == "auto" and _is_interactive()) else None
    if tqdm is None:
        if show is True:
            _warn_without_tqdm()
        yield lambda count: None
        return
    delay = 0.0 if show is True else _PATIENCE
    with tqdm(total=total, desc=label, unit=unit or "it", delay=delay, leave=show is True) as shown:
        yield shown.update


def _is_interactive() -> bool:
    # None without a console (pythonw.exe) or with a closed stream
    return (sys.stderr is not None and sys.stderr.isatty()) or "ipykernel" in sys.modules


def _tqdm() -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


@cache
def _warn_without_tqdm() -> None:
    warn('progress=True shows nothing without tqdm: pip install "mixedfast[progress]"')
