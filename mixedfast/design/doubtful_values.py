"""Values that are valid but may not be what was meant: numbers in text, codes for missing values.

Such values change estimates without a trace: a ``.`` in a column of ages makes one coefficient per
age, a code of -99 is fitted as a number, and pupils numbered from 1 in each school become one
pupil per number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations

import numpy as np

from mixedfast.data.categories import Categorical
from mixedfast.data.frames import ColumnData, Numeric
from mixedfast.design.grouping import GroupRecipe
from mixedfast.design.types import ReTerm
from mixedfast.errors import DataError, DataWarning, warn

__all__ = ["check_codes_for_missing", "check_numbers_in_text", "check_restarted_numbers"]

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_COMMA = re.compile(r"\s*[+-]?[\d.]*,\d+\s*")
#: Labels that stand for a missing value, in lower case.
_MARKS = frozenset(
    ["", ".", "..", "-", "--", "?", "*", "na", "n/a", "#n/a", "nan", "null", "none", "missing"]
)
#: Text of more numbers than this is doubted: the grades 1 to 12 are categories.
_MOST_CATEGORIES = 12
#: The same where all are whole: the 14 departments of InstEval have numbers.
_MOST_WHOLE = 30
#: At most this share of the labels of a column of numbers is something else.
_FEW = 0.1


def check_numbers_in_text(columns: Mapping[str, ColumnData], n: int) -> None:
    """Refuse predictors whose text is meant as numbers; warn of those that may be.

    Parameters
    ----------
    columns : dict of str to column
        The predictors that are used by their bare names. ``C(f)`` states that a column is
        categorical.
    n : int
        Number of rows.

    Raises
    ------
    DataError
        When the labels are numbers but for marks of missing values or a few others, or are numbers
        with a comma. Names the first label that is no number.

    Warns
    -----
    DataWarning
        When all labels are numbers, and there are fractions or many labels.
    """
    for name, column in columns.items():
        if isinstance(column, Categorical) and any(isinstance(v, str) for v in column.levels[:1]):
            _check_text(name, [str(level) for level in column.levels.tolist()], n)


def _check_text(name: str, labels: Sequence[str], n_rows: int) -> None:
    numbers = [label for label in labels if _NUMBER.fullmatch(label)]
    commas = [label for label in labels if _COMMA.fullmatch(label)]
    rest = [label for label in labels if not (_NUMBER.fullmatch(label) or _COMMA.fullmatch(label))]
    n = len(numbers) + len(commas)
    marks = all(label.strip().lower() in _MARKS for label in rest)
    few = n > _MOST_CATEGORIES and len(rest) <= _FEW * n
    if rest and n >= 2 and (marks or few):
        cure = (
            "make it missing"
            if rest[0].strip().lower() in _MARKS
            else "correct it, or make it missing"
        )
        raise DataError(
            f"column {name!r} holds {n} different numbers as text, and the label {rest[0]!r}, "
            f"which is no number: {cure}, and convert the column to numbers. C({name}) takes every "
            "label as a category"
        )
    if commas and not rest and n >= 3:
        raise DataError(
            f"column {name!r} holds text such as {commas[0]!r}, numbers with a comma: convert it "
            f"to numbers (pandas.read_csv has decimal=','). C({name}) takes every label as a "
            "category"
        )
    if not rest and n < n_rows:  # with as many labels as rows the design is refused
        fraction = next((label for label in labels if not label.strip().isdigit()), None)
        if n > (_MOST_WHOLE if fraction is None else _MOST_CATEGORIES):
            warn(
                f"column {name!r} holds {n} different numbers as text, which become {n} "
                f"categories (the first is {labels[0]!r}): convert it to numbers if it is a "
                f"measurement, or write C({name})",
                DataWarning,
            )


# --- codes for missing values -------------------------------------------------------------------

#: Numbers that surveys and programs write for a missing value: -9 to -6, 99 to 96, 999 to 996, ...
#: of both signs, 88 and 77, limits of integers.
_CODES = np.array(
    sorted(
        {-9.0, -8.0, -7.0, -6.0}
        | {s * float(10**d - k) for s in (1, -1) for d in range(2, 7) for k in range(1, 5)}
        | {s * float(v) for s in (1, -1) for v in (66, 77, 88, 666, 777, 888, 7777, 8888)}
        | {-32768.0, 32767.0, -(2.0**31), 2.0**31 - 1}
    )
)
_KNOWN_CODES = frozenset(_CODES.tolist())


def check_codes_for_missing(columns: Iterable[tuple[str, ColumnData]]) -> None:
    """Warn of numbers that look like codes for missing values.

    Such a number is one of those that surveys use, the least or the greatest value of its column,
    and farther from the other values than these are from each other.

    Warns
    -----
    DataWarning
        Names the column and the code.
    """
    for name, column in columns:
        if isinstance(column, Numeric) and not column.is_boolean and len(column.values):
            _check_codes(name, column.values)


def _check_codes(name: str, values: np.ndarray) -> None:
    ends = float(values.min()), float(values.max())
    if _KNOWN_CODES.isdisjoint(ends):
        return
    is_code = np.isin(values, _CODES)
    rest = values[~is_code]
    if not len(rest):
        return
    low, high = float(rest.min()), float(rest.max())
    for end, gap in ((ends[0], low - ends[0]), (ends[1], ends[1] - high)):
        if end in _KNOWN_CODES and gap > high - low > 0:
            count = int((values == end).sum())
            warn(
                f"column {name!r} holds {end:.10g} in {count} row{'s' if count > 1 else ''}, and "
                f"the other values lie from {low:.6g} to {high:.6g}: if it is a code for missing "
                "values, replace it by a missing value",
                DataWarning,
            )


# --- numbers that start anew ----------------------------------------------------------------------

_ID = re.compile(r"(?i).*(id|_?no|_?nr|num|number)")
_PLACE = re.compile(
    r"(?i).*(school|class|teacher|clinic|hospital|site|cent(er|re)|district|village|household"
    r"|family|litter|ward|firm|plot|county|country|state|region)(_?(id|no|nr|num|number))?"
)


#: Numbers of these mean the same in every group; the last ones may be missing.
_SHARED = re.compile(
    r"(?i).*(time|wave|year|month|week|day|date|hour|visit|occasion|period|trial|round|session|item"
    r"|question|position|order|age|grade|cohort|batch|block|rater|judge)(_?(id|no|nr|num|number))?s?"
)
#: Groups of unequal size start at the first number by chance, in a crossed design with values
#: missing at random, with at most this probability.
_BY_CHANCE = 1e-4


def check_restarted_numbers(terms: Sequence[ReTerm], groups: Sequence[GroupRecipe]) -> None:
    """Warn when the numbers of groups start anew in each group of another factor.

    Pupils numbered from 1 in each school are different pupils with the same number, and
    ``(1 | pupil)`` takes them as one. Where schools differ in size, a crossed design has this
    pattern hardly by chance, unless the numbers are times or items, which are known by their names.
    Where all schools have the same size, a complete crossed design looks the same, and there is a
    warning only if the names are those of an identifier and of a place.

    Warns
    -----
    DataWarning
    """
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {
        group.factors[0]: (term.codes, term.levels)
        for term, group in zip(terms, groups, strict=True)
        if len(group.factors) == 1
    }
    combined = [set(group.factors) for group in groups if len(group.factors) > 1]
    for fine, coarse in permutations(parts, 2):
        if _SHARED.fullmatch(fine) or any({fine, coarse} <= both for both in combined):
            continue
        if _starts_anew(
            parts[fine], parts[coarse], bool(_ID.fullmatch(fine) and _PLACE.fullmatch(coarse))
        ):
            warn(
                f"the numbers in {fine!r} start anew in each group of {coarse!r}: (1 | {fine}) "
                f"takes rows with one number in different groups of {coarse!r} as one group; "
                f"write (1 | {coarse}/{fine}) if they are different",
                DataWarning,
            )


def _starts_anew(
    fine: tuple[np.ndarray, np.ndarray], coarse: tuple[np.ndarray, np.ndarray], named: bool
) -> bool:
    (codes, labels), (of, places) = fine, coarse
    J, K = len(labels), len(places)
    if labels.dtype.kind not in "iu" or labels[0] not in (0, 1) or labels[-1] - labels[0] != J - 1:
        return False
    # a first group whose numbers have gaps decides most designs from one comparison of all rows
    first = np.unique(codes[of == 0])
    if K < 2 or first[-1] != len(first) - 1 or 4 * len(codes) + 65536 < J * K:
        return False
    occurs = np.zeros((K, J), dtype=bool)
    occurs[of, codes] = True
    sizes = occurs.sum(axis=1)
    if not (occurs == (np.arange(J) < sizes[:, None])).all() or sizes.min() < 2:
        return False
    if sizes.min() == sizes.max():
        return named
    by_chance = sum(math.log(math.comb(J, size)) for size in sizes.tolist())
    return by_chance > -math.log(_BY_CHANCE)
