"""A virtual environment for each compared Python library, so that versions do not conflict."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from benchmarks.libraries import LIBRARIES, Library

__all__ = ["make_environments"]


def make_environments(say: Callable[[str], None] = print) -> None:
    """Those that are not there yet. One that cannot be installed is named; the others go on."""
    for library in LIBRARIES.values():
        if library.needs and not library.is_r:
            _make(library, say)


def _make(library: Library, say: Callable[[str], None]) -> None:
    wanted = "\n".join((*library.needs, "pandas", "threadpoolctl"))
    stamp = library.environment / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        say(f"{library.name}: there already")
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(library.environment)], check=True)
    pip = [
        str(library.environment / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    if subprocess.run([*pip, *wanted.splitlines()]).returncode:
        say(f"{library.name}: could not be installed; it will be skipped")
        return
    stamp.write_text(wanted)
    say(f"{library.name}: {', '.join(library.needs)}")
