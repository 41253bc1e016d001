"""statsmodels' own test file of mixed models, run against our door: a copy with its import line changed.

    python tests/helpers/statsmodels_own.py     # runs it and writes the table into docs/from_statsmodels.md

The file and the R results it compares with come with the installed statsmodels; nothing of them is kept here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

PAGE = Path(__file__).parents[2] / "docs" / "from_statsmodels.md"
BEGIN, END = "<!-- tests/helpers/statsmodels_own.py writes from here -->\n", "<!-- to here -->"

#: The version whose tests `REASONS` speaks of.
VERSION = "0.15"

#: What does not pass, by class or function, and why.
REASONS = {
    "test_compare_numdiff": "variance components of several columns with one common variance, and `score` and `hessian` "
    "anywhere but at the optimum, are not offered: the error says what to write instead",
    "test_vcomp_formula": "variance components of several columns with one common variance are not offered",
    "test_get_distribution": "variance components of several columns with one common variance, and `get_distribution`, are not "
    "offered: `result.mixedfast.simulate()` draws responses",
    "test_profile_inference": "`profile_re` is not offered: `result.mixedfast.profile()` profiles all parameters",
    "test_profile_re_likelihood_peaks_at_mle": "the same",
    "test_regularized": "`fit_regularized` is not offered: there are no penalized fits",
    "TestMixedLMSummaryRegularized": "the same",
    "test_handle_missing": "one of its models has 98 random effects for 96 rows, which is refused, as lme4 does",
    "test_singular": "statsmodels warns that the covariance is singular, with a likelihood of infinity; the search here ends "
    "at an optimum with a positive variance, and there is nothing to warn of",
    "test_summary_after_remove_data": "asks for statsmodels' own class of summary; ours looks the same and does not "
    "need statsmodels",
}


def outcomes() -> dict[str, bool]:
    """Whether each test passes, by ``class::function[parameters]``."""
    import statsmodels.regression.tests

    own = Path(statsmodels.regression.tests.__file__).parent
    text = (own / "test_lme.py").read_text(encoding="utf-8")
    start = text.index("from statsmodels.regression.mixed_linear_model import (")
    end = text.index(")", start)
    private = [name.strip() for name in text[start:end].split(",") if name.strip().startswith("_")]
    public = text[start:end]
    for name in private:
        public = public.replace(f"    {name},\n", "")
    changed = public.replace(
        "statsmodels.regression.mixed_linear_model", "mixedfast.compat.statsmodels"
    )
    # what it tests of statsmodels' own insides stays statsmodels'
    inside = f")\nfrom statsmodels.regression.mixed_linear_model import {', '.join(private)}\n"
    text = text[:start] + changed + inside + text[end + 1 :]
    text = text.replace(
        "from statsmodels.formula.api import mixedlm",
        "from mixedfast.compat.statsmodels import mixedlm",
    )
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder) / "own"
        room.mkdir()
        (room / "__init__.py").touch()
        shutil.copytree(own / "results", room / "results")
        (room / "test_lme.py").write_text(text, encoding="utf-8")
        report = Path(folder) / "report.xml"
        call = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--junit-xml={report}",
            "own/test_lme.py",
        ]
        done = subprocess.run(
            call,
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTEST_ADDOPTS": ""},
        )
        if not report.exists():
            raise RuntimeError(done.stdout + done.stderr)
        found = {}
        for case in ElementTree.parse(report).iter("testcase"):
            where = case.get("classname", "").rpartition("test_lme")[2].lstrip(".")
            name = f"{where}::{case.get('name')}" if where else str(case.get("name"))
            found[name] = not any(child.tag in ("failure", "error") for child in case)
    return found


def reason(name: str) -> str | None:
    """Why a test does not pass, if that is known."""
    where, _, function = name.rpartition("::")
    return REASONS.get(function.partition("[")[0]) or REASONS.get(where)


def table(found: dict[str, bool]) -> str:
    """What the page says of a run."""
    failing = [name for name, passed in found.items() if not passed]
    rows = []
    for known, why in REASONS.items():
        count = sum(
            known in (name.rpartition("::")[2].partition("[")[0], name.rpartition("::")[0])
            for name in failing
        )
        if count:
            rows.append(f"| `{known}` | {count} | {why} |")
    return (
        f"statsmodels {VERSION} tests its mixed models with {len(found)} tests, many of them against R's results. With one "
        f"import line changed, {len(found) - len(failing)} pass here. The other {len(failing)}:\n\n"
        "| test | runs | why it does not pass |\n|---|--:|---|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(
        f"{before}{BEGIN}\n{table(outcomes())}\n{END}{rest.split(END)[1]}", encoding="utf-8"
    )
