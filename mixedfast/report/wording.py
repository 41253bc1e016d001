"""English for names of the data: "160 schools", but "160 levels of school:pupil"."""

from __future__ import annotations

__all__ = ["counted", "plural"]


def plural(name: str) -> str:
    """Form the plural of a name that is an English word; "levels of ..." for any other name.

    Examples
    --------
    >>> plural("school"), plural("Batch"), plural("city"), plural("day"), plural("schools")
    ('schools', 'Batches', 'cities', 'days', 'schools')
    >>> plural("g"), plural("school:pupil"), plural("student_id")
    ('levels of g', 'levels of school:pupil', 'levels of student_id')
    """
    if len(name) < 3 or not (name.isascii() and name.isalpha()):
        return f"levels of {name}"
    if name.endswith(("ss", "x", "z", "ch", "sh")):
        return f"{name}es"
    if name.endswith("s"):
        return name
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def counted(count: int, name: str) -> str:
    """Name a number of levels of a grouping factor.

    Examples
    --------
    >>> counted(2972, "student"), counted(1, "school"), counted(12, "g")
    ('2,972 students', '1 school', '12 levels of g')
    """
    if count == 1:
        return f"1 {name}" if not plural(name).startswith("levels of") else f"1 level of {name}"
    return f"{count:,} {plural(name)}"
