"""Calls that a type checker must refuse: one in each line that ends in a comment."""

from __future__ import annotations

import mixedfast as mf


def wrong(m: mf.LMMResult) -> None:
    mf.lmer("y ~ x + (1 | g)", {}, reml=True)  # call-arg
    m.coef_table(level="0.95")  # arg-type
    m.bootstrap(n="many")  # arg-type
    m.resid(1)  # arg-type
    _ = m.varcor  # attr-defined
    m.simulate(progress=True)  # call-arg
    m.confint(progress="loud")  # arg-type
    m.sigma + "1"  # operator
