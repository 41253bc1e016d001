"""The studentized range against SciPy's quadrature, one range at a time, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mixedfast.inference import studentized_range

#: SciPy's own accuracy.
ABSOLUTE = 1e-9


@pytest.mark.parametrize("k", [3, 5, 30])
@pytest.mark.parametrize("df", [0.7, 2.0, 10.0, 29.9, 30.0, 400.0])
def test_tails_are_those_of_scipy(k, df):
    q = np.array([0.05, 0.5, 2.0, 3.5, 6.0, 12.0])
    expected = stats.studentized_range.sf(q, k, df)
    np.testing.assert_allclose(studentized_range.sf(q, k, df), expected, rtol=0, atol=ABSOLUTE)


@pytest.mark.parametrize("k", [3, 10, 60])
def test_quantiles_invert_tails(k):
    df = np.array([1.3, 4.0, 29.0, 31.0, 1e5, np.inf])
    for p in (0.5, 0.05, 1e-6):
        q = studentized_range.isf(p, k, df)
        np.testing.assert_allclose(studentized_range.sf(q, k, df), p, rtol=1e-9)


def test_two_means_are_student_s_t():
    q, df = np.array([0.1, 1.0, 4.0, 30.0]), np.array([1.0, 3.5, 40.0, 7.0])
    expected = 2.0 * stats.t.sf(q / np.sqrt(2.0), df)
    np.testing.assert_allclose(studentized_range.sf(q, 2, df), expected, rtol=1e-12)


def test_small_tails_keep_their_relative_accuracy():
    """Bonferroni's bound is nearly attained far out."""
    q, k = 14.0, 4
    bound = k * (k - 1) * stats.norm.sf(q / np.sqrt(2.0))
    assert studentized_range.sf(q, k, np.inf) == pytest.approx(bound, rel=1e-3)


def test_what_is_not_known_stays_unknown():
    tails = studentized_range.sf([np.nan, 3.5, 3.5], 3, [10.0, np.nan, 10.0])
    assert np.isnan(tails).tolist() == [True, True, False]
    assert np.isnan(studentized_range.isf(0.05, 3, [np.nan, 5.0])).tolist() == [True, False]
