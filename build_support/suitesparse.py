"""Build the CHOLMOD that wheels carry: SuiteSparse without the modules under the GPL.

    python build_support/suitesparse.py PREFIX [SOURCE]

SOURCE is a folder or an archive of SuiteSparse. Without it the source is fetched: on Debian as the
source package of the release named below, elsewhere from the page of SuiteSparse. Either way the
code must have the digest written here. CMake 3.22 or later and a C compiler are needed. PREFIX
receives the headers, the shared libraries, and their licences in PREFIX/licences.

The modules Supernodal, MatrixOps and Modify of CHOLMOD are under the GPL. mixedfast does not call
the last two and works without the first: see docs/trust.md. No BLAS is linked, because only the
Supernodal module calls one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Collection
from pathlib import Path

VERSION = "7.10.1"
ARCHIVE = f"https://github.com/DrTimothyAldenDavis/SuiteSparse/archive/refs/tags/v{VERSION}.tar.gz"
DEBIAN_RELEASE = "trixie"  # has that version

#: SHA-256 over the names and the contents of the code in FOLDERS (`digest`). Archives from
#: different places differ in their other files; Debian leaves PDFs out.
DIGEST = "689b3745d1184d7fbe082bf46546b15cf9e809e51621f68dc77f524ba803e667"

#: Folder, the library built from it, and its licence. METIS is compiled into CHOLMOD's library.
FOLDERS = {
    "SuiteSparse_config": ("suitesparseconfig", "BSD-3-Clause"),
    "AMD": ("amd", "BSD-3-Clause"),
    "CAMD": ("camd", "BSD-3-Clause"),
    "CCOLAMD": ("ccolamd", "BSD-3-Clause"),
    "COLAMD": ("colamd", "BSD-3-Clause"),
    "CHOLMOD": ("cholmod", "LGPL-2.1-or-later AND Apache-2.0"),
}
#: The names of the licence texts in the wheel, and their places in the source.
TEXTS = {
    "SuiteSparse.txt": "LICENSE.txt",
    "SuiteSparse_config.txt": "SuiteSparse_config/README.txt",
    "AMD.txt": "AMD/Doc/License.txt",
    "CAMD.txt": "CAMD/Doc/License.txt",
    "CCOLAMD.txt": "CCOLAMD/Doc/License.txt",
    "COLAMD.txt": "COLAMD/Doc/License.txt",
    "CHOLMOD.txt": "CHOLMOD/Doc/License.txt",
    "LGPL-2.1.txt": "CHOLMOD/Cholesky/lesser.txt",
    "METIS.txt": "CHOLMOD/SuiteSparse_metis/LICENSE.txt",
}

OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_INSTALL_LIBDIR=lib",
    # otherwise the length of the build folder's name stays in the libraries
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    f"-DCMAKE_INSTALL_RPATH={'@loader_path' if sys.platform == 'darwin' else '$ORIGIN'}",
    "-DSUITESPARSE_ENABLE_PROJECTS=cholmod",
    "-DSUITESPARSE_USE_CUDA=OFF",
    "-DSUITESPARSE_USE_OPENMP=OFF",
    "-DSUITESPARSE_USE_FORTRAN=OFF",
    "-DSUITESPARSE_DEMOS=OFF",
    "-DBUILD_STATIC_LIBS=OFF",
    "-DBUILD_TESTING=OFF",
    "-DCHOLMOD_GPL=OFF",
)


class SuiteSparseError(Exception):
    """The source cannot be fetched, has another digest, or does not build."""


def code_of(root: Path) -> list[Path]:
    """List the files that are compiled or control the build, sorted by name, relative to `root`."""
    kept = (path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file())
    code = [
        path
        for path in kept
        if path.suffix in (".c", ".h", ".cmake", ".in") or path.name == "CMakeLists.txt"
    ]
    return sorted(
        (path.relative_to(root) for path in [*code, root / "CMakeLists.txt"]),
        key=lambda path: path.as_posix(),
    )


def digest(root: Path) -> str:
    """Compute SHA-256 over names and contents of the code under `root`."""
    whole = hashlib.sha256()
    for path in code_of(root):
        content = hashlib.sha256((root / path).read_bytes()).hexdigest()
        whole.update(f"{content}  {path.as_posix()}\n".encode())
    return whole.hexdigest()


def run(*command: str | Path, **more: object) -> str:
    """Run a command and return its output; if it fails, the exception quotes the last lines."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **more,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-30:])
        raise SuiteSparseError(
            f"{' '.join(map(str, command))}\nended with status {done.returncode}:\n{last}"
        )
    return done.stdout


def from_debian(folder: Path) -> Path | None:
    """Fetch the archive of SuiteSparse from Debian, checked by apt-get; None on other systems.

    The settings of the machine are not changed: the list of sources is a new one, in `folder`.
    """
    if shutil.which("apt-get") is None:
        return None
    asked = (
        "apt-get",
        "indextargets",
        "--format",
        "$(ORIGIN) $(COMPONENT) $(REPO_URI)",
        "Created-By: Packages",
    )
    places = [
        line.split()[2] for line in run(*asked).splitlines() if line.startswith("Debian main ")
    ]
    if not places:
        return None
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    lists, sources = folder / "lists", folder / "sources.list"
    lists.mkdir()
    sources.write_text(f"deb-src [signed-by={keys}] {places[0]} {DEBIAN_RELEASE} main\n")
    apt = (
        "apt-get",
        "-qq",
        "-o",
        f"Dir::Etc::SourceList={sources}",
        "-o",
        "Dir::Etc::SourceParts=/dev/null",
        "-o",
        f"Dir::State::Lists={lists}",
        "-o",
        "APT::Sandbox::User=root",
    )
    run(*apt, "update")
    run(*apt, "source", "--download-only", "--tar-only", "suitesparse", cwd=folder)
    return next(folder.glob(f"suitesparse_{VERSION}*.orig.tar.*"))


def from_its_page(folder: Path) -> Path:
    """Fetch the archive of SuiteSparse from where it is published."""
    archive = folder / f"SuiteSparse-{VERSION}.tar.gz"
    with urllib.request.urlopen(ARCHIVE) as answer, archive.open("wb") as file:
        shutil.copyfileobj(answer, file)
    return archive


def unpack(archive: Path, folder: Path, wanted: Collection[str] | None = None) -> Path:
    """Unpack an archive in `folder` and return its top folder.

    With `wanted`, only these entries of the top folder are unpacked.
    """
    with tarfile.open(archive) as tar:
        # Pythons before 3.10.12 and 3.11.4 have no filter: there the digest is the only protection.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        split = [(member, member.name.split("/")) for member in tar]
        members = [
            member
            for member, parts in split
            if wanted is None or (len(parts) > 1 and parts[1] in wanted)
        ]
        tar.extractall(folder, members)
    return folder / members[0].name.split("/")[0]


def build(source: Path, prefix: Path, scratch: Path) -> None:
    """Compile and install into `prefix`, without a path of this machine in the libraries."""
    flags = (
        f"-ffile-prefix-map={source}=suitesparse -ffile-prefix-map={scratch}=build"
        if os.name != "nt"
        else ""
    )
    run(
        "cmake",
        "-S",
        source,
        "-B",
        scratch,
        f"-DCMAKE_INSTALL_PREFIX={prefix}",
        f"-DCMAKE_C_FLAGS={flags}",
        *OPTIONS,
    )
    run("cmake", "--build", scratch, "--config", "Release", "--parallel", str(os.cpu_count() or 1))
    run("cmake", "--install", scratch, "--config", "Release", "--strip")


def keep_licences(source: Path, prefix: Path) -> None:
    """Copy the texts of the licences to PREFIX/licences."""
    folder = prefix / "licences"
    folder.mkdir(exist_ok=True)
    for name, where in TEXTS.items():
        shutil.copyfile(source / where, folder / name)


def main(prefix: Path, given: Path | None) -> None:
    """Fetch what is missing, check it, build it."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        archive = given or from_debian(scratch) or from_its_page(scratch)
        # CMake writes headers into its source: of a folder, a copy is built.
        if archive.is_dir():
            source = shutil.copytree(archive, scratch / "source")
        else:
            source = unpack(
                archive, scratch / "source", {*FOLDERS, "CMakeLists.txt", "LICENSE.txt"}
            )
        if digest(source) != DIGEST:
            raise SuiteSparseError(
                f"the code in {archive} is not that of SuiteSparse {VERSION}: "
                f"its digest is {digest(source)}"
            )
        build(source.resolve(), prefix.resolve(), scratch / "build")
        keep_licences(source, prefix)
    print(f"SuiteSparse {VERSION}, CHOLMOD without its GPL modules: {prefix}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    except SuiteSparseError as error:
        sys.exit(f"suitesparse.py: {error}")
