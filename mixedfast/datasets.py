"""Data sets of the mixed-model literature, as pandas frames ready to fit.

Grouping factors and other factors are categorical, with the order of levels that makes the
coefficients comparable with published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixedfast._validation import did_you_mean
from mixedfast.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["citation", "list_datasets", "load_dataset", "names"]

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
    """A data set: its description, its citation, its factors with the order of levels.

    ``ordered`` names the factors whose order has a meaning.
    """

    about: str
    citation: str
    factors: dict[str, LevelOrder]
    ordered: frozenset[str] = field(default=frozenset())


_HSB = (
    "High School and Beyond (1982), a subsample of 7,185 students in 160 U.S. high schools. "
    "Raudenbush, S. W. and Bryk, A. S. (2002). Hierarchical Linear Models: Applications and Data "
    "Analysis Methods, 2nd ed. Thousand Oaks, CA: Sage."
)
_DAVIES = (
    "Davies, O. L. and Goldsmith, P. L., eds. (1972). Statistical Methods in Research and "
    "Production, 4th ed. Edinburgh: Oliver and Boyd."
)
_STUDENTS: dict[str, LevelOrder] = {"school": _by_number, "minority": _sorted, "sex": _sorted}
_SCHOOLS: dict[str, LevelOrder] = {"school": _by_number, "sector": _sorted, "himinty": _sorted}

_OF_STUDENTS = (
    "math, a test score, and ses, socio-economic status with mean zero, sex and minority of 7,185 "
    "students"
)
_OF_SCHOOLS = (
    "size, sector, pracad (share of students on the academic track), disclim (how unfair "
    "discipline is felt to be), himinty (1: more than 40 % of minorities) and mean_ses"
)

_SOURCES = {
    "hsb": _Source(
        f"{_OF_STUDENTS} in 160 U.S. high schools (school), with their school's {_OF_SCHOOLS}.",
        _HSB,
        _STUDENTS | _SCHOOLS,
    ),
    "hsb_students": _Source(f"{_OF_STUDENTS} in 160 U.S. high schools (school).", _HSB, _STUDENTS),
    "hsb_schools": _Source(f"The 160 schools (school) of hsb: {_OF_SCHOOLS}.", _HSB, _SCHOOLS),
    "sleepstudy": _Source(
        "Reaction, the mean reaction time in milliseconds, of 18 people (Subject) on Days 0 to 9 "
        "of a study in which they slept three hours a night.",
        "Belenky, G., Wesensten, N. J., Thorne, D. R., Thomas, M. L., Sing, H. C., Redmond, D. "
        "P., Russo, M. B. and Balkin, T. J. (2003). Patterns of performance degradation and "
        "restoration during sleep restriction and subsequent recovery: a sleep dose-response "
        "study. Journal of Sleep Research 12, 1-12.",
        {"Subject": _by_number},
    ),
    "penicillin": _Source(
        "diameter in mm of the zone in which penicillin stops growth: 6 samples (sample), each on "
        "every one of 24 plates (plate).",
        _DAVIES,
        {"plate": _sorted, "sample": _sorted},
    ),
    "pastes": _Source(
        "strength of a chemical paste: two tests of each of 3 casks (cask) from each of 10 "
        "deliveries (batch). sample names a cask and its batch in one.",
        _DAVIES,
        {"batch": _sorted, "cask": _sorted, "sample": _sorted},
    ),
    "dyestuff": _Source(
        "Yield in grams of standard colour of 5 preparations from each of 6 batches (Batch).",
        _DAVIES,
        {"Batch": _sorted},
    ),
    "dyestuff2": _Source(
        "Made-up Yield in the layout of dyestuff; the batches (Batch) differ so little that their "
        "variance is estimated as zero.",
        "Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis. "
        "Reading, MA: Addison-Wesley. Simulated data.",
        {"Batch": _sorted},
    ),
    "cake": _Source(
        "angle in degrees at which a chocolate cake broke: 3 recipes (recipe), 15 replicates of "
        "each (replicate), baked at 6 temperatures in Fahrenheit. temperature is an ordered "
        "factor, temp the number.",
        "Cook, F. E. (1938). Chocolate Cake, I. Optimum Baking Temperature. Master's thesis, Iowa "
        "State College. Printed in Cochran, W. G. and Cox, G. M. (1957). Experimental Designs, "
        "2nd ed. New York: Wiley.",
        {"replicate": _by_number, "recipe": _sorted, "temperature": _by_number},
        frozenset({"temperature"}),
    ),
    "insteval": _Source(
        "y, 73,421 ratings from 1 to 5 that students s gave to lecturers d: studage, semesters "
        "the student has studied; lectage, semesters since the lecture; service, 1 for a lecture "
        "to another department; dept, the lecturer's.",
        "University lecture evaluations by students at ETH Zurich, made anonymous; distributed "
        "with the R package lme4: Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). "
        "Fitting Linear Mixed-Effects Models Using lme4. Journal of Statistical Software 67(1).",
        {
            "s": _by_number,
            "d": _by_number,
            "studage": _by_number,
            "lectage": _by_number,
            "service": _by_number,
            # the departments are not named; this is the order they have been published in
            "dept": _given(
                "15", "5", "10", "12", "6", "7", "4", "8", "9", "14", "1", "3", "11", "2"
            ),
        },
        frozenset({"studage", "lectage"}),
    ),
}


def names() -> list[str]:
    """List the names of the data sets.

    Examples
    --------
    >>> names()[:3]
    ['hsb', 'hsb_students', 'hsb_schools']
    """
    return list(_SOURCES)


def list_datasets() -> pd.DataFrame:
    """List the data sets with their contents and sources.

    Returns
    -------
    DataFrame
        Index ``name``; columns ``about`` and ``citation``.

    Examples
    --------
    >>> list_datasets().about["dyestuff"]
    'Yield in grams of standard colour of 5 preparations from each of 6 batches (Batch).'
    """
    import pandas as pd

    rows = [(name, source.about, source.citation) for name, source in _SOURCES.items()]
    return pd.DataFrame(rows, columns=["name", "about", "citation"]).set_index("name")


def citation(name: str) -> str:
    """Cite the source of a data set.

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
    """Load a data set by name.

    Parameters
    ----------
    name : str
        ============== =================================================================
        name           rows
        ============== =================================================================
        hsb            7,185 students in 160 schools: mathematics and status
        hsb_students   the students alone
        hsb_schools    the schools alone
        sleepstudy     180 reaction times of 18 people short of sleep
        penicillin     144 tests: 6 samples crossed with 24 plates
        pastes         60 tests of 30 casks nested in 10 batches
        dyestuff       30 yields of 6 batches
        dyestuff2      30 made-up yields: the variance between batches is zero
        cake           270 cakes: 3 recipes at 6 temperatures, split plot
        insteval       73,421 ratings of 1,128 lecturers by 2,972 students
        ============== =================================================================

        `list_datasets` describes the columns and the source of each.

    Returns
    -------
    DataFrame
        A new frame at each call. Factors are categorical.

    Raises
    ------
    DataError
        When there is no such data set; the message lists the names.

    Examples
    --------
    >>> load_dataset("sleepstudy").head(2)
       Reaction  Days Subject
    0  249.5600     0     308
    1  258.7047     1     308
    """
    source = _source(name)
    frame = _students_in_schools(source) if name == "hsb" else _read(name, source)
    return frame.astype(
        {column: _dtype(frame[column], source, column) for column in _factors(frame, source)}
    )


def _source(name: str) -> _Source:
    if not isinstance(name, str) or name not in _SOURCES:
        hint = did_you_mean(name, list(_SOURCES), most=1)
        raise DataError(
            f"no data set {name!r}{'; ' + hint if hint else ''} (choose from {', '.join(_SOURCES)})"
        )
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
    """Read the file of a data set, factors as strings."""
    from importlib.resources import files

    import pandas as pd

    with files("mixedfast.data").joinpath("samples", f"{name}.csv.gz").open("rb") as file:
        return pd.read_csv(file, compression="gzip", dtype=dict.fromkeys(source.factors, str))
