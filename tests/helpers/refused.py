"""A refusal of `lmer`: which error, and with which words."""

from __future__ import annotations

import warnings

import pytest
from helpers.bad_inputs import (
    FORMULA,
    a_table,
)

import mixedfast as mf


def refused(error, words, formula=FORMULA, data=None, **options):
    """Check that `lmer` raises this error with these words, and gives no warning before it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=words) as caught:
            mf.lmer(formula, a_table() if data is None else data, **options)
    assert isinstance(caught.value, mf.MixedFastError)
