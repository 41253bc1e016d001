"""Data sets of the mixed-model literature, as pandas frames ready to fit.

Grouping factors and other factors are categorical, with the order of levels that makes the
coefficients comparable with published ones.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixedfast.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["citation", "load_dataset", "names"]

#: Gives the levels of a factor, in order, from the strings in a column.
LevelOrder = Callable[["pd.Series"], list[str]]


def _sorted(column: pd.Series) -> list[str]:
    return sorted(column.unique())


def _by_number(column: pd.Series) -> list[str]:
    return sorted(column.unique(), key=int)


def _given(*levels: str) -> LevelOrder:
    return lambda column: list(levels)


@dataclass(frozen=True)
class _Source:
    """What a data set is: its citation, the order of levels of its factors, and which are ordered."""

    citation: str
    factors: dict[str, LevelOrder]
    ordered: frozenset[str] = field(default=frozenset())


_HSB = (
    "High School and Beyond (1982), a subsample of 7,185 students in 160 U.S. high schools. "
    "Raudenbush, S. W. and Bryk, A. S. (2002). Hierarchical Linear Models: Applications and Data "
    "Analysis Methods, 2nd ed. Thousand Oaks, CA: Sage."
)
_DAVIES = (
    "Davies, O. L. and Goldsmith, P. L., eds. (1972). Statistical Methods in Research and Production, "
    "4th ed. Edinburgh: Oliver and Boyd."
)
_STUDENTS: dict[str, LevelOrder] = {"school": _by_number, "minority": _sorted, "sex": _sorted}
_SCHOOLS: dict[str, LevelOrder] = {"school": _by_number, "sector": _sorted, "himinty": _sorted}

_SOURCES = {
    "hsb": _Source(_HSB, _STUDENTS | _SCHOOLS),
    "hsb_students": _Source(_HSB, _STUDENTS),
    "hsb_schools": _Source(_HSB, _SCHOOLS),
    "sleepstudy": _Source(
        "Belenky, G., Wesensten, N. J., Thorne, D. R., Thomas, M. L., Sing, H. C., Redmond, D. P., "
        "Russo, M. B. and Balkin, T. J. (2003). Patterns of performance degradation and restoration "
        "during sleep restriction and subsequent recovery: a sleep dose-response study. Journal of "
        "Sleep Research 12, 1-12.",
        {"Subject": _by_number},
    ),
    "penicillin": _Source(_DAVIES, {"plate": _sorted, "sample": _sorted}),
    "pastes": _Source(_DAVIES, {"batch": _sorted, "cask": _sorted, "sample": _sorted}),
    "dyestuff": _Source(_DAVIES, {"Batch": _sorted}),
    "dyestuff2": _Source(
        "Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis. "
        "Reading, MA: Addison-Wesley. Simulated data.",
        {"Batch": _sorted},
    ),
    "cake": _Source(
        "Cook, F. E. (1938). Chocolate Cake, I. Optimum Baking Temperature. Master's thesis, Iowa State "
        "College. Printed in Cochran, W. G. and Cox, G. M. (1957). Experimental Designs, 2nd ed. "
        "New York: Wiley.",
        {"replicate": _by_number, "recipe": _sorted, "temperature": _by_number},
        frozenset({"temperature"}),
    ),
    "insteval": _Source(
        "University lecture evaluations by students at ETH Zurich, made anonymous; distributed with the "
        "R package lme4: Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting Linear "
        "Mixed-Effects Models Using lme4. Journal of Statistical Software 67(1).",
        {
            "s": _by_number,
            "d": _by_number,
            "studage": _by_number,
            "lectage": _by_number,
            "service": _by_number,
            # the departments are not named; this is the order they have been published in
            "dept": _given("15", "5", "10", "12", "6", "7", "4", "8", "9", "14", "1", "3", "11", "2"),
        },
        frozenset({"studage", "lectage"}),
    ),
}


def names() -> list[str]:
    """Names of the data sets.

    Examples
    --------
    >>> names()[:3]
    ['hsb', 'hsb_students', 'hsb_schools']
    """
    return list(_SOURCES)


def citation(name: str) -> str:
    """Where a data set comes from.

    Parameters
    ----------
    name : str

    Raises
    ------
    DataError
        When there is no such data set.

    Examples
    --------
    >>> citation("dyestuff2").split(".")[0]
    'Box, G'
    """
    return _source(name).citation


def load_dataset(name: str) -> pd.DataFrame:
    """A data set by name.

    Parameters
    ----------
    name : str
        One of `names`. ``"hsb"`` is ``"hsb_students"`` joined to ``"hsb_schools"`` by school.

    Returns
    -------
    DataFrame
        A new frame at each call. Factors are categorical.

    Raises
    ------
    DataError
        When there is no such data set; the message lists those there are.

    Examples
    --------
    >>> load_dataset("sleepstudy").head(2)
       Reaction  Days Subject
    0  249.5600     0     308
    1  258.7047     1     308
    """
    source = _source(name)
    frame = _students_in_schools(source) if name == "hsb" else _read(name, source)
    return frame.astype({column: _dtype(frame[column], source, column) for column in _factors(frame, source)})


def _source(name: str) -> _Source:
    if name not in _SOURCES:
        close = difflib.get_close_matches(str(name).lower(), _SOURCES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise DataError(f"no data set {name!r}{hint} (there are: {', '.join(_SOURCES)})")
    return _SOURCES[name]


def _factors(frame: pd.DataFrame, source: _Source) -> list[str]:
    return [column for column in frame.columns if column in source.factors]


def _dtype(column: pd.Series, source: _Source, name: str) -> pd.CategoricalDtype:
    import pandas as pd

    return pd.CategoricalDtype(source.factors[name](column), ordered=name in source.ordered)


def _students_in_schools(source: _Source) -> pd.DataFrame:
    students, schools = _read("hsb_students", source), _read("hsb_schools", source)
    return students.merge(schools, on="school", how="left", validate="many_to_one")


def _read(name: str, source: _Source) -> pd.DataFrame:
    """The file of a data set, factors as strings."""
    from importlib.resources import files

    import pandas as pd

    with files(__package__).joinpath(f"{name}.csv.gz").open("rb") as file:
        return pd.read_csv(file, compression="gzip", dtype=dict.fromkeys(source.factors, str))
