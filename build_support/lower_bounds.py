"""Print the oldest versions that pyproject.toml allows, as a file of constraints for pip.

    python build_support/lower_bounds.py [EXTRA…] >constraints.txt

With the names of extras, their requirements are included. Bounds are written in pyproject.toml
only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


def lower_bound(requirement: Requirement) -> Version:
    """Return the oldest version that a requirement allows.

    Raises
    ------
    ValueError
        It has no lower bound, so that the oldest version cannot be tested.
    """
    bounds = [
        Version(part.version)
        for part in requirement.specifier
        if part.operator in (">=", "==", "~=")
    ]
    if not bounds:
        raise ValueError(f"{requirement} has no lower bound")
    return max(bounds)


def constraints(project: Mapping[str, Any], extras: Iterable[str]) -> list[str]:
    """List ``name==version`` for the requirements of a [project] table and of some extras, sorted.

    A name with several bounds has the highest one.
    """
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    bounds: dict[str, Version] = {}
    for requirement in map(Requirement, lines):
        bound = lower_bound(requirement)
        bounds[requirement.name] = max(bound, bounds.get(requirement.name, bound))
    return [f"{name}=={bound}" for name, bound in sorted(bounds.items())]


if __name__ == "__main__":
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    print("\n".join(constraints(table, sys.argv[1:])))
