"""Files of Stata and SPSS: numbers with value labels."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.data.file_errors import unreadable
from mixedfast.errors import DataWarning, MissingLibraryError, warn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_spss", "read_stata"]


def read_stata(file: Path, labels: bool) -> pd.DataFrame:
    """Read a Stata file (see `read_table`)."""
    import pandas as pd

    try:
        table: pd.DataFrame = pd.read_stata(file, convert_categoricals=False)
    except (OSError, ValueError, KeyError, OverflowError, struct.error) as error:
        raise unreadable(file, error, "Stata") from error
    return _labelled(table, _stata_labels(file, table)) if labels else table


def _stata_labels(file: Path, codes: pd.DataFrame) -> dict[str, dict[Any, str]]:
    """Find the labels of the values that occur, by column.

    Warns
    -----
    DataWarning
        When a column has two codes with one label, which pandas does not read.
    """
    import pandas as pd

    found: dict[str, dict[Any, str]] = {}
    try:
        shown = pd.read_stata(file, order_categoricals=False)
    except ValueError:  # the labels of some column
        parts = {}
        for name in codes.columns:
            try:
                parts[name] = pd.read_stata(file, order_categoricals=False, columns=[name])[name]
            except ValueError:
                parts[name] = codes[name]
                warn(
                    f"{file}: two values of column {name!r} have the same value label, so its "
                    "numbers are kept",
                    DataWarning,
                )
        shown = pd.DataFrame(parts)
    for name in codes.columns:
        if isinstance(shown[name].dtype, pd.CategoricalDtype):
            pairs = pd.DataFrame({"code": codes[name], "label": shown[name].astype(object)})
            pairs = pairs.dropna().drop_duplicates()
            found[name] = {
                code: label
                for code, label in zip(pairs.code, pairs.label, strict=True)
                if isinstance(label, str)
            }
    return found


def read_spss(file: Path, labels: bool) -> pd.DataFrame:
    """Read an SPSS file (see `read_table`); values that the file declares missing are missing."""
    if find_spec("pyreadstat") is None:
        raise MissingLibraryError(f"reading {file} needs pyreadstat: pip install pyreadstat")
    import pyreadstat

    try:
        table, meta = pyreadstat.read_sav(file)
    except (OSError, ValueError, pyreadstat.PyreadstatError, pyreadstat.ReadstatError) as error:
        raise unreadable(file, error, "SPSS") from error
    return _labelled(table, meta.variable_value_labels) if labels else table


def _labelled(table: pd.DataFrame, labels: Mapping[str, Mapping[Any, str]]) -> pd.DataFrame:
    """Make categories of the columns in which each value that occurs has a label of its own.

    Warns
    -----
    DataWarning
        When a column has numbers without labels and some with, such as -9 "no answer".
    """
    import pandas as pd

    made = {}
    for name in table.columns:
        column, known = table[name], labels.get(name, {})
        values = sorted(column.dropna().unique().tolist()) if known else []
        named = [value for value in values if value in known]
        if named and len(named) == len(values):
            texts = [str(known[value]) for value in named]
            if len(set(texts)) < len(texts):  # two codes with one label stay two categories
                texts = [f"{text} ({value:g})" for text, value in zip(texts, named, strict=True)]
            places = pd.Categorical(column, categories=named).codes
            column = pd.Series(
                pd.Categorical.from_codes(np.asarray(places), categories=pd.Index(texts))
            )
        elif named:
            shown = ", ".join(f"{value:g} {str(known[value])!r}" for value in named[:3])
            warn(
                f"column {name!r} holds numbers, some of which have value labels ({shown}): if "
                "these are codes for missing values, replace them by missing values",
                DataWarning,
            )
        made[name] = column
    return pd.DataFrame(made)
