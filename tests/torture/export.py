"""Write the models of the corpus for R.

``python tests/torture/export.py FOLDER``, then ``Rscript tests/r/torture.R FOLDER``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from corpus import all_cases
from families import Case
from verdict import REFEREE

#: lme4 takes minutes for more variance parameters, and gets fewer of them right.
WIDEST = 6
#: Every other model is enough for a referee; models that were asked before stay, whatever joins the
#: corpus ahead of them.
EVERY = 2


def wanted(case: Case) -> bool:
    """Whether the referee can be asked: R reads the formula, and the model is not one to refuse."""
    slopes = case.formula.count("x") if case.name.startswith("many_slopes") else 0
    golden = case.name.startswith("collected")  # R fits those for tests/golden
    return case.refused is None and not golden and "C(" not in case.formula and slopes <= 2 * WIDEST


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cases = [
        case
        for i, case in enumerate(all_cases())
        if (i % EVERY == 0 or case.name in REFEREE) and wanted(case)
    ]
    for case in cases:
        case.data.to_csv(folder / f"{case.name}.csv", index=False)
    listed = [
        {
            "name": case.name,
            "formula": case.formula,
            "reml": case.reml,
            "weights": case.options.get("weights", ""),
        }
        for case in cases
    ]
    (folder / "cases.json").write_text(json.dumps(listed))
    print(f"{len(cases)} models")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
