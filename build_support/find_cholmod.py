"""Find CHOLMOD, in the order a user would expect, and test it with a program.

Only the standard library is used, so that `make` can call this before anything is installed:

    python3 build_support/find_cholmod.py      # prints where cholmod.h is, or ends with status 1
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# Prints "3.0.14 1 1": the version of the library that is loaded, whether it can order with METIS,
# and whether it has the supernodal module (without which the analysis below is a simplicial one).
PROBE = r"""
#include <stdio.h>
#include "cholmod.h"
int main(void)
{
    long long p[] = {0, 2, 4, 5}, i[] = {0, 1, 1, 2, 2};
    int version[3];
    cholmod_common common;
    cholmod_sparse a = {0};
    cholmod_factor *l, *s;
    cholmod_l_start(&common);
    common.print = 0;
    common.try_catch = 1;
    common.nmethods = 1;
    common.method[0].ordering = CHOLMOD_METIS;
    a.nrow = a.ncol = 3;
    a.nzmax = 5;
    a.p = p;
    a.i = i;
    a.stype = -1;
    a.itype = CHOLMOD_LONG;
    a.xtype = CHOLMOD_PATTERN;
    a.dtype = CHOLMOD_DOUBLE;
    a.sorted = a.packed = 1;
    l = cholmod_l_analyze_p(&a, NULL, NULL, 0, &common);
    common.method[0].ordering = CHOLMOD_NATURAL;
    common.supernodal = CHOLMOD_SUPERNODAL;
    s = cholmod_l_analyze_p(&a, NULL, NULL, 0, &common);
    cholmod_l_version(version);
    printf("%d.%d.%d %d %d\n", version[0], version[1], version[2], l != NULL,
           s != NULL && s->is_super);
    cholmod_l_free_factor(&l, &common);
    cholmod_l_free_factor(&s, &common);
    cholmod_l_finish(&common);
    return 0;
}
"""

ADVICE = {
    "apt-get": "sudo apt-get install libsuitesparse-dev",
    "dnf": "sudo dnf install suitesparse-devel",
    "brew": "brew install suite-sparse",
    "conda": "conda install suitesparse",
}


@dataclass(frozen=True)
class Place:
    """A folder with cholmod.h, and the folder of its library (None: on the linker's own path)."""

    found_by: str
    include: Path
    library: Path | None


@dataclass(frozen=True)
class Cholmod:
    """A CHOLMOD with which a program was compiled, linked and run."""

    place: Place
    version: str
    metis: bool
    supernodal: bool


class CholmodNotFound(Exception):
    """There is no usable CHOLMOD where the environment names one."""


def _from_environment(environ: Mapping[str, str]) -> Iterator[Place]:
    for include, library in (
        ("MIXEDFAST_CHOLMOD_INCLUDE", "MIXEDFAST_CHOLMOD_LIB"),
        ("SUITESPARSE_INCLUDE_DIR", "SUITESPARSE_LIBRARY_DIR"),
    ):
        if environ.get(include):
            folder = environ.get(library)
            yield Place("environment", Path(environ[include]), Path(folder) if folder else None)


def _output_of(*command: str) -> str:
    """Run a command and return its output, or "" if it does not exist or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _from_pkg_config() -> Iterator[Place]:
    for name in ("CHOLMOD", "cholmod"):
        include = _output_of("pkg-config", "--variable=includedir", name)
        if include:
            folder = _output_of("pkg-config", "--variable=libdir", name)
            for root in (Path(include), Path(include) / "suitesparse"):
                yield Place("pkg-config", root, Path(folder) if folder else None)


def _from_prefix(found_by: str, prefix: Path) -> Iterator[Place]:
    for include in (prefix / "include" / "suitesparse", prefix / "include"):
        yield Place(found_by, include, prefix / "lib")


def _from_conda(environ: Mapping[str, str]) -> Iterator[Place]:
    prefix = environ.get("CONDA_PREFIX")
    if prefix:
        root = Path(prefix)
        yield from _from_prefix("conda", root / "Library" if os.name == "nt" else root)


def _from_homebrew() -> Iterator[Place]:
    prefix = _output_of("brew", "--prefix", "suite-sparse")
    if prefix:
        yield from _from_prefix("homebrew", Path(prefix))


def _from_system() -> Iterator[Place]:
    for include in ("/usr/include/suitesparse", "/usr/local/include/suitesparse", "/usr/include"):
        yield Place("system", Path(include), None)


def places(environ: Mapping[str, str]) -> list[Place]:
    """List the folders that have cholmod.h, in the order in which they are tried.

    Raises
    ------
    CholmodNotFound
        An environment variable names a folder without it.
    """
    named = list(_from_environment(environ))
    for place in named:
        if not (place.include / "cholmod.h").is_file():
            raise CholmodNotFound(
                f"the environment says that cholmod.h is in {place.include}, but it is not"
            )
    sources = (_from_pkg_config, lambda: _from_conda(environ), _from_homebrew, _from_system)
    searched = [place for source in sources for place in source()]
    return named + [place for place in searched if (place.include / "cholmod.h").is_file()]


def find(environ: Mapping[str, str], probe: Callable[[Place], str | None]) -> Cholmod | None:
    """Return the first CHOLMOD with which the probe runs, or None.

    `probe` builds and runs `PROBE` for a place and returns its output, or None if it failed.

    Raises
    ------
    CholmodNotFound
        The environment names a place that does not work.
    """
    for place in places(environ):
        printed = probe(place)
        if printed is not None:
            version, metis, supernodal = printed.split()
            return Cholmod(place, version, metis == "1", supernodal == "1")
        if place.found_by == "environment":
            raise CholmodNotFound(
                f"the environment says that CHOLMOD is in {place.include} "
                f"(library: {place.library or 'the default place'}), "
                "but a program that uses it does not build or run"
            )
    return None


def advice(environ: Mapping[str, str]) -> str:
    """Return the command that installs CHOLMOD on this machine."""
    if environ.get("CONDA_PREFIX"):
        return ADVICE["conda"]
    for manager, command in ADVICE.items():
        if shutil.which(manager):
            return command
    return (
        "install SuiteSparse and name its folders in MIXEDFAST_CHOLMOD_INCLUDE "
        "and MIXEDFAST_CHOLMOD_LIB"
    )


if __name__ == "__main__":
    found = places(os.environ)
    if not found:
        sys.exit(1)
    print(found[0].include)
