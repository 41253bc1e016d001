"""What the first fit of a process imports."""

from __future__ import annotations

import subprocess
import sys

SLOW = ("formulaic", "scipy.interpolate", "scipy.linalg", "scipy.sparse", "scipy.special")


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_formula_of_names_needs_neither_formulaic_nor_the_larger_parts_of_scipy():
    code = f"""
import sys
import mixedfast as mf
m = mf.lmer("math ~ ses * sex + (1 + ses | school)", mf.load_dataset("hsb"))
m.params, m.bse
print([name for name in {SLOW} if name in sys.modules])
"""
    assert in_a_new_process(code) == "[]"


def test_scipy_linalg_is_whole_after_a_fit():
    code = """
import sys
import mixedfast.engines, mixedfast.covariance
assert "scipy.linalg" not in sys.modules
import scipy.linalg.cython_lapack, scipy.linalg.cython_blas
import scipy.linalg, scipy.stats
print(len(scipy.linalg.cython_lapack.__pyx_capi__) > 0, scipy.linalg.cython_blas.__name__)
"""
    assert in_a_new_process(code) == "True scipy.linalg.cython_blas"
