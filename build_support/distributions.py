"""Build the published files: the source distribution, and from it the wheel with its libraries.

    python build_support/distributions.py FOLDER [SUITESPARSE]

SUITESPARSE is the prefix that `suitesparse.py` filled; without it no wheel is built.

The same tree gives the same bytes in any folder: all times are SOURCE_DATE_EPOCH (by default the
time of the last commit), names are sorted, owners are left out, and the compiler writes no path.
The wheel is built from the unpacked source distribution, so that a file missing there is noticed.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from repair import RepairError, repair
from suitesparse import unpack

ROOT = Path(__file__).resolve().parent.parent


def epoch() -> str:
    """Return SOURCE_DATE_EPOCH, or the time of the last commit.

    In an unpacked source distribution: the time of pyproject.toml.
    """
    if "SOURCE_DATE_EPOCH" in os.environ:
        return os.environ["SOURCE_DATE_EPOCH"]
    asked = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if (ROOT / ".git").exists() and asked.returncode == 0:
        return asked.stdout.strip()
    return str(int((ROOT / "pyproject.toml").stat().st_mtime))


def settled(archive: bytes, time: int) -> bytes:
    """Pack a .tar.gz anew without the times, places and owners of its files."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=packed, mtime=time) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime, member.pax_headers = time, {}
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


def build(kind: str, tree: Path, folder: Path, **environment: str) -> Path:
    """Build one distribution of a tree with the build tools that are installed."""
    command = [
        sys.executable,
        "-m",
        "build",
        f"--{kind}",
        "--no-isolation",
        "--outdir",
        folder,
        tree,
    ]
    environ = dict(os.environ) | environment
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environ, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\ndistributions.py: building the {kind} failed")
    (made,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def linker() -> str:
    """Return the command that links a module, without folders of this machine.

    Python's own command would write them into the module.
    """
    words = sysconfig.get_config_var("LDSHARED").split()
    return " ".join(word for word in words if "-rpath" not in word and not word.startswith("-L"))


def main(folder: Path, suitesparse: Path | None) -> None:
    """Build the source distribution and the repaired wheel in `folder`."""
    os.environ["SOURCE_DATE_EPOCH"] = time = epoch()
    os.umask(0o022)  # permissions are in the archives too
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        made = build("sdist", ROOT, scratch)
        source = folder / made.name
        folder.mkdir(parents=True, exist_ok=True)
        source.write_bytes(settled(made.read_bytes(), int(time)))
        print(source)
        if suitesparse is None:
            return
        tree = unpack(source, scratch / "source")
        libraries = str(suitesparse / "lib")
        settings = {} if os.name == "nt" else {"LDSHARED": linker(), "LD_LIBRARY_PATH": libraries}
        wheel = build(
            "wheel",
            tree,
            scratch / "wheel",
            MIXEDFAST_REQUIRE_CHOLMOD="1",
            MIXEDFAST_CHOLMOD_INCLUDE=str(suitesparse / "include" / "suitesparse"),
            MIXEDFAST_CHOLMOD_LIB=libraries,
            MIXEDFAST_NO_RPATH="1",
            **settings,
        )
        repair(wheel, folder, suitesparse)


if __name__ == "__main__":
    try:
        main(
            Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
        )
    except RepairError as error:
        sys.exit(f"distributions.py: {error}")
