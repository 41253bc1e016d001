"""Arguments as people write them: near misses get a suggestion, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mixedfast as mf
from mixedfast._validation import check_choice, check_count, check_level, check_seed, did_you_mean


@pytest.fixture(scope="module")
def m() -> mf.LMMResult:
    return mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))


NEAR_MISSES: dict[str, tuple[Callable[[mf.LMMResult], Any], str]] = {
    "capitals": (lambda m: m.summary(ddf="Kenward-Roger").sections, "did you mean 'kenward-roger'"),
    "initials": (lambda m: m.coef_table("kr"), "did you mean 'kenward-roger'"),
    "a method's case": (lambda m: m.confint("Wald"), "did you mean 'wald'"),
    "a level in the place of a method": (lambda m: m.confint(0.9), r"confint\(level=0.9\)"),
    "per cent": (lambda m: m.coef_table(level=90), "for 90% write 0.9"),
    "a parameter": (lambda m: m.profile("day"), "did you mean 'Days'"),
    "a level for a profile": (lambda m: m.profile(0.9), "names of parameters"),
    "another model": (lambda m: m.anova(m), r"mf\.anova\(m1, m2\)"),
    "a column's case": (lambda m: m.update(". ~ . + day"), "did you mean 'Days'"),
    "a group's case": (lambda m: m.predict(re="subject"), "did you mean 'Subject'"),
    "a number for a group": (
        lambda m: m.influence(1),
        r"influence\(group=1\): give the name of a grouping factor",
    ),
    "a word for a truth": (lambda m: m.update(REML="no"), "REML='no'"),
    "no threads": (lambda m: m.bootstrap(5, threads=0), "threads=0"),
    "a float for a count": (lambda m: m.simulate(10.0), "n=10.0"),
    "a variable twice": (lambda m: m.emmeans(["Days", "Days"]), "named twice"),
    "a model for a table": (lambda m: mf.page(m), r"m\.summary\(\)"),
    "data before the formula": (
        lambda m: mf.lmer(mf.load_dataset("sleepstudy"), m.formula),
        "the formula is the first argument",
    ),
    "a model where sums go": (lambda m: mf.fit(m), "for data use mf.lmer"),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_told_what_was_meant(m: mf.LMMResult, name: str) -> None:
    wrong, what = NEAR_MISSES[name]
    with pytest.raises(mf.MixedFastError, match=what):
        wrong(m)


def test_a_name_that_is_not_there_gets_python_s_own_hint() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lmar'") as caught:
        mf.lmar  # noqa: B018
    assert caught.value.name == "lmar" and caught.value.obj is mf


def test_levels_counts_seeds_and_choices() -> None:
    for level in (0.5, 0.999):
        check_level(level)
    for level in (0, 1, 1.5, True, "0.9", None, float("nan")):
        with pytest.raises(mf.ArgumentError, match="level="):
            check_level(level)
    assert check_count("n", 3) == 3
    for count in (0, -1, 2.0, True, "3", None):
        with pytest.raises(mf.ArgumentError, match="n="):
            check_count("n", count)
    for seed in (None, 0, 7):
        check_seed(seed)
    for seed in (-1, 1.0, "a", True):
        with pytest.raises(mf.ArgumentError, match="seed="):
            check_seed(seed)
    check_choice("type", None, (None, "a"))
    for value in (True, 1, "A", ["a"]):
        with pytest.raises(mf.ArgumentError, match="one of None, 'a'"):
            check_choice("type", value, (None, "a"))


def test_names_that_are_not_close_get_no_hint() -> None:
    assert did_you_mean("height", ["Days", "Subject"]) == ""
    assert did_you_mean("d", ["days-of-rest"]) == ""
