"""Pages of marginal means and of their contrasts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.report.number_format import decimals, p_values, significant
from mixedfast.report.page import Page
from mixedfast.report.sections import Cells, Grid
from mixedfast.report.text import ddf_words

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.inference.ddf.methods import DDF

__all__ = ["ddf_note", "means_page"]

#: Numbers that have the same decimals, so that they can be compared.
_AMOUNTS = ("std_error", "conf_low", "conf_high")
#: Longer notes are broken.
_WIDTH = 96


def ddf_note(ddf: DDF) -> str:
    """Name the degrees of freedom in a note below a table."""
    return "large-sample z tests" if str(ddf) == "asymptotic" else ddf_words(ddf)


def means_page(
    frame: pd.DataFrame, names: Sequence[str], level: float, notes: Sequence[str]
) -> Page:
    """Lay out a table of means or contrasts.

    Parameters
    ----------
    frame : DataFrame
        Labels and variables, then the columns of `names`.
    names : sequence of str
        The statistics in the last columns of `frame`: the estimate first.
    level : float
        Of the intervals.
    notes : sequence of str
        One line each below the table.
    """
    labels = frame.columns[: len(frame.columns) - len(names)]
    columns = [Cells(str(n), tuple(map(str, frame[n])), left=True) for n in labels]
    numbers = dict(
        zip(names, (frame.iloc[:, len(labels) + i] for i in range(len(names))), strict=True)
    )
    amounts = [name for name in names if name in (names[0], *_AMOUNTS)]
    block = significant(
        np.concatenate([numbers[name].to_numpy(dtype=float) for name in amounts]).tolist(), 4
    )
    shown = {name: block[i * len(frame) : (i + 1) * len(frame)] for i, name in enumerate(amounts)}
    percent = f"{100 * level:g}%"
    headers = {
        "std_error": "Std. Error",
        "statistic": "t value",
        "p_value": "Pr(>|t|)",
        "conf_low": f"lower {percent}",
        "conf_high": f"upper {percent}",
    }
    if "df" in numbers and np.isinf(numbers["df"].to_numpy(dtype=float)).all():
        headers |= {"statistic": "z value", "p_value": "Pr(>|z|)"}
    for name in names:
        values = numbers[name].tolist()
        if name == "df":
            shown[name] = significant([round(value, 2) for value in values], 4)
        elif name == "statistic":
            shown[name] = decimals(values, 3)
        elif name == "p_value":
            shown[name] = p_values(values, 4)
        elif name not in shown:
            shown[name] = [str(value) for value in values]
    columns += [Cells(headers.get(n, n), tuple(shown[n]), left=n == "letters") for n in names]
    lines = [textwrap.fill(note, _WIDTH) for note in notes if note]
    return Page([Grid(tuple(columns), note="\n".join(lines))])
