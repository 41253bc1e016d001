"""The shipped data sets, and looking at data before any model."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mixedfast.datasets import citation, list_datasets, load_dataset, names
from mixedfast.errors import DataError

# rows, and levels of each factor, as in the sources
SHAPES = {
    "hsb": (7185, {"school": 160, "minority": 2, "sex": 2, "sector": 2, "himinty": 2}),
    "hsb_students": (7185, {"school": 160, "minority": 2, "sex": 2}),
    "hsb_schools": (160, {"school": 160, "sector": 2, "himinty": 2}),
    "sleepstudy": (180, {"Subject": 18}),
    "penicillin": (144, {"plate": 24, "sample": 6}),
    "pastes": (60, {"batch": 10, "cask": 3, "sample": 30}),
    "dyestuff": (30, {"Batch": 6}),
    "dyestuff2": (30, {"Batch": 6}),
    "cake": (270, {"replicate": 15, "recipe": 3, "temperature": 6}),
    "insteval": (
        73421,
        {"s": 2972, "d": 1128, "studage": 4, "lectage": 6, "service": 2, "dept": 14},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_data_set_has_its_rows_and_levels(name: str) -> None:
    frame = load_dataset(name)
    rows, levels = SHAPES[name]
    factors = frame.select_dtypes("category")
    assert len(frame) == rows
    assert {column: len(factors[column].cat.categories) for column in factors} == levels
    assert not frame.isna().any().any()
    assert all(
        set(factors[column].unique()) == set(factors[column].cat.categories) for column in factors
    )
    assert all(
        pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns.difference(factors.columns)
    )


def test_the_list_is_complete_and_every_entry_is_cited() -> None:
    assert set(names()) == set(SHAPES)
    assert all(any(year in citation(name) for year in ("19", "20")) for name in names())


def test_the_list_tells_every_column() -> None:
    told = list_datasets()
    assert list(told.index) == names()
    for name in names():
        assert set(load_dataset(name).columns) <= set(re.findall(r"\w+", told.about[name]))
        assert re.search(rf"^ +{name} ", load_dataset.__doc__ or "", re.MULTILINE)


def test_levels_come_in_the_published_order() -> None:
    insteval, cake = load_dataset("insteval"), load_dataset("cake")
    assert list(insteval["d"].cat.categories[:5]) == ["1", "6", "7", "8", "12"]
    assert list(insteval["dept"].cat.categories[:3]) == ["15", "5", "10"]
    assert list(cake["replicate"].cat.categories[-2:]) == ["14", "15"]
    assert cake["temperature"].cat.ordered
    assert not cake["recipe"].cat.ordered
    hsb = load_dataset("hsb")
    assert list(hsb["sex"].cat.categories) == ["Female", "Male"]
    assert list(hsb["sector"].cat.categories) == ["Catholic", "Public"]


def test_students_have_the_columns_of_their_own_school() -> None:
    students, schools = load_dataset("hsb"), load_dataset("hsb_schools").set_index("school")
    size = students["school"].astype(str).map(schools["size"].rename(index=str))
    np.testing.assert_array_equal(students["size"], size)


def test_a_frame_may_be_changed_without_changing_the_next() -> None:
    frame = load_dataset("dyestuff")
    frame["Yield"] = 0
    assert load_dataset("dyestuff")["Yield"].min() > 0


@pytest.mark.parametrize("ask", [load_dataset, citation])
def test_an_unknown_name_is_told_the_names_there_are(ask: object) -> None:
    with pytest.raises(DataError, match=r"'sleep'.*did you mean 'sleepstudy'.*penicillin"):
        ask("sleep")  # type: ignore[operator]
