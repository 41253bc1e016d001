"""The libraries that are compared: one line here, and one file of this folder, each.

A Python file defines `prepare(model, columns)`, `run(model, data, task)` and `answers(model,
fitted)`; an R file the same. Only `run` is timed: from a table in memory, in the form the library
likes best, to what the task asks for.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["ENVIRONMENTS", "LIBRARIES", "TASKS", "Library"]

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".envs"

#: What is timed. Each begins with the table and ends with the standard errors of the fixed effects,
#: the last two with their degrees of freedom as well (and, for Kenward-Roger, the adjusted standard
#: errors).
TASKS = ("standard errors", "satterthwaite", "kenward-roger")


@dataclass(frozen=True)
class Library:
    """One library.

    `includes` names a library whose work is a part of this one's: what is too slow for it is not
    tried here.
    """

    name: str
    adapter: str
    tasks: tuple[str, ...] = TASKS[:1]
    needs: tuple[str, ...] = ()
    module: str = ""
    includes: str = ""

    @property
    def is_r(self) -> bool:
        return self.adapter.endswith(".R")

    @property
    def environment(self) -> Path:
        return ENVIRONMENTS / self.name

    @cached_property
    def interpreter(self) -> str | None:
        """Return the program that runs the library, None when it is not installed.

        An environment of its own comes first.
        """
        if self.is_r:
            return _rscript(self.needs)
        own = self.environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        if self.needs and own.exists():
            return str(own)
        return sys.executable if importlib.util.find_spec(self.module) else None


def _rscript(packages: tuple[str, ...]) -> str | None:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    ask = f"q(status = !all(sapply(c({', '.join(map(repr, packages))}), requireNamespace, quietly = TRUE)))"
    return (
        rscript
        if subprocess.run([rscript, "-e", ask], capture_output=True).returncode == 0
        else None
    )


_SOME = (
    Library("mixedfast", "mixedfast.py", TASKS, module="mixedfast"),
    Library("glmm", "glmm.py", TASKS[:2], ("glmm==0.6.2",), "glmm"),
    Library("mixedlm", "mixedlm.py", TASKS, ("mixedlm==1.3.0",), "mixedlm"),
    Library("lme-python", "lme_python.py", TASKS, ("lme-python[pandas]==0.2.7",), "lme_python"),
    Library("mixedlm-rs", "mixedlm_rs.py", TASKS[:1], ("mixedlm-rs==0.2.0",), "mixedlm_rs"),
    Library("gpboost", "gpboost.py", TASKS[:1], ("gpboost==1.8.0",), "gpboost"),
    Library("statsmodels", "statsmodels.py", TASKS[:1], ("statsmodels==0.15.0",), "statsmodels"),
    Library("lme4-nocheck", "lme4_nocheck.R", TASKS[:1], ("lme4", "jsonlite")),
    Library("lme4", "lme4.R", TASKS[:1], ("lme4", "jsonlite"), includes="lme4-nocheck"),
    Library("lmerTest", "lmertest.R", TASKS[1:2], ("lmerTest", "jsonlite"), includes="lme4"),
    Library(
        "pbkrtest", "pbkrtest.R", TASKS[2:], ("pbkrtest", "lmerTest", "jsonlite"), includes="lme4"
    ),
)
LIBRARIES = {library.name: library for library in _SOME}
