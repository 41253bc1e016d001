"""Fits where the address space of the process ends: a MemoryError or a fit, never a hang."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("resource")

#: Fits a model of two crossed factors with so many MiB of address space left.
SCRIPT = """
import resource, sys
import numpy as np
import mixedfast as mf

rng, n = np.random.default_rng(0), 30000
data = dict(y=rng.normal(size=n), x=rng.normal(size=n))
data |= dict(g=rng.integers(0, 3000, n), h=rng.integers(0, 2000, n))
mf.lmer("y ~ x + (1 | g)", data)
held = int(open("/proc/self/statm").read().split()[0]) * 4096
more = int(sys.argv[1]) << 20
resource.setrlimit(resource.RLIMIT_AS, (held + more, resource.RLIM_INFINITY))
try:
    mf.lmer("y ~ x + (1 | g) + (1 | h)", data, engine=sys.argv[2])
    print("fits")
except MemoryError:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    m = mf.lmer("y ~ x + (1 | g)", data)  # the process can go on
    print("no memory", m.nobs)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("engine", ["block", "cholmod"])
@pytest.mark.parametrize("more", [60, 100])
def test_a_fit_at_the_end_of_memory_ends(engine, more):
    if engine == "cholmod":
        pytest.importorskip("mixedfast.engines._cholmod")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(more), engine],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() in ("fits", "no memory 30000"), done.stderr
