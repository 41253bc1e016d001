"""The test file of statsmodels for mixed models, run against the compatible interface.

A copy with its import line changed.

    python tests/helpers/statsmodels_own.py     # runs it and writes the table into docs/from_statsmodels.md

The file and the R results it compares with come with the installed statsmodels; nothing of them is
kept here.
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

#: Reasons why tests do not pass, by class or function.
REASONS = {
    "test_compare_numdiff": "variance components of several columns with one common variance, and `score` and `hessian` "
    "away from the optimum, are not available: the error says what to write instead",
    "test_vcomp_formula": "variance components of several columns with one common variance are not available",
    "test_get_distribution": "variance components of several columns with one common variance, and `get_distribution`, are "
    "not available: `result.mixedfast.simulate()` draws responses",
    "test_profile_inference": "`profile_re` is not available: `result.mixedfast.profile()` profiles all parameters",
    "test_profile_re_likelihood_peaks_at_mle": "the same",
    "test_regularized": "`fit_regularized` is not available: there are no penalized fits",
    "TestMixedLMSummaryRegularized": "the same",
    "test_handle_missing": "one of its models has 98 random effects for 96 rows, which is an error, as in lme4",
    "test_singular": "statsmodels warns that the covariance is singular, with an infinite likelihood; mixedfast finds an "
    "optimum with a positive variance, so there is no warning",
    "test_summary_after_remove_data": "requires the summary class of statsmodels; the summary of mixedfast has the same layout "
    "and does not need statsmodels",
}


def outcomes() -> dict[str, bool]:
    """Run the tests and return whether each passes, by ``class::function[parameters]``."""
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
    # private functions of statsmodels are still imported from statsmodels
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
    """Return the reason why a test does not pass, or None if it is not known."""
    where, _, function = name.rpartition("::")
    return REASONS.get(function.partition("[")[0]) or REASONS.get(where)


def table(found: dict[str, bool]) -> str:
    """Format the outcomes as the table of the page."""
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
        f"statsmodels {VERSION} has {len(found)} tests of mixed models, many of them against results of R. With one "
        f"import\nline changed, {len(found) - len(failing)} pass. The other {len(failing)}:\n\n"
        "| test | runs | why it does not pass |\n|---|--:|---|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(
        f"{before}{BEGIN}\n{table(outcomes())}\n{END}{rest.split(END)[1]}", encoding="utf-8"
    )
