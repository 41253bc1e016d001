"""Builds the C extensions; everything else about the package is in pyproject.toml."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from glob import glob
from pathlib import Path

from Cython import __version__ as cython_version
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CompileError, LinkError

ROOT = Path(__file__).resolve().parent
sys.path.insert(
    0, str(ROOT / "build_support")
)  # a build front end does not put the project on the path
import find_cholmod  # noqa: E402

DEBUG = "MIXEDFAST_DEBUG"  # a build that checks itself, for developers: `make test-debug`

# Of every .pyx: no file sets its own. A kernel's arguments are checked once, where Python calls it.
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}
# wraparound stays off: with boundscheck on, a negative index is an error, not counted from the end.
DEBUG_DIRECTIVES = DIRECTIVES | {"boundscheck": True, "initializedcheck": True, "nonecheck": True}

# No -march=native: the build must run on other machines. -fno-math-errno lets sqrt be one
# instruction. -fvisibility=hidden: a kernel is called from its own module only, and not exported.
FLAGS = ["-O3", "-std=c99", "-fno-math-errno", "-fvisibility=hidden", "-DNDEBUG", "-g0"]
DEBUG_FLAGS = ["-O1", "-std=c99", "-fno-math-errno", "-fvisibility=hidden", "-UNDEBUG", "-g"]
MSVC_FLAGS = ["/O2", "/DNDEBUG"]
MSVC_DEBUG_FLAGS = ["/Od", "/UNDEBUG", "/Zi"]
# No binary contains the place of the sources: builds in two folders give the same bytes.
PLACELESS = [f"-ffile-prefix-map={ROOT}=."]
REQUIRE = "MIXEDFAST_REQUIRE_CHOLMOD"
# The library will be copied into the wheel: the modules must not store its folder on this machine.
NO_RPATH = "MIXEDFAST_NO_RPATH"
NEED_CHOLMOD = ("mixedfast.engines._cholmod", "mixedfast.engines._selinv")

BUILDINFO = '''"""The build of the extensions, written by setup.py; see `mixedfast versions`."""

from __future__ import annotations

CHOLMOD: str | None = {version!r}
CHOLMOD_FOUND_BY: str | None = {found_by!r}
METIS: bool = {metis!r}
SUPERNODAL: bool = {supernodal!r}
COMPILER: str = {compiler!r}
C_FLAGS: tuple[str, ...] = {flags!r}
CYTHON: str = {cython!r}
'''


def is_set(variable: str) -> bool:
    return os.environ.get(variable, "0") not in ("", "0")


class BuildExtensions(build_ext):
    """Look for CHOLMOD, build with or without it, and record which."""

    def build_extensions(self) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        if is_set(DEBUG):
            self.flags = MSVC_DEBUG_FLAGS if msvc else DEBUG_FLAGS
        else:
            self.flags = MSVC_FLAGS if msvc else FLAGS
        for extension in self.extensions:
            extension.extra_compile_args = self.flags if msvc else self.flags + PLACELESS
        cholmod = self.look_for_cholmod()
        if cholmod is None:
            self.extensions = [e for e in self.extensions if e.name not in NEED_CHOLMOD]
        else:
            self.point_to(cholmod.place)
        super().build_extensions()
        self.buildinfo = BUILDINFO.format(
            version=cholmod.version if cholmod else None,
            found_by=cholmod.place.found_by if cholmod else None,
            metis=bool(cholmod and cholmod.metis),
            supernodal=bool(cholmod and cholmod.supernodal),
            compiler=self.compiler.compiler_type,
            flags=tuple(self.flags),
            cython=cython_version,
        )
        self.write_buildinfo(Path(self.build_lib) / "mixedfast")

    def look_for_cholmod(self) -> find_cholmod.Cholmod | None:
        try:
            cholmod = find_cholmod.find(os.environ, self.probe)
        except find_cholmod.CholmodNotFound as error:
            raise BaseError(str(error)) from error
        if cholmod is not None:
            parts = ", ".join(
                f"{'with' if there else 'without'} {part}"
                for part, there in (
                    ("METIS", cholmod.metis),
                    ("its supernodal module", cholmod.supernodal),
                )
            )
            print(
                f"mixedfast: CHOLMOD {cholmod.version} {parts}, found by: {cholmod.place.found_by}"
            )
            return cholmod
        advice = find_cholmod.advice(os.environ)
        if is_set(REQUIRE):
            raise BaseError(f"CHOLMOD was not found and {REQUIRE} is set. Type: {advice}")
        line = "*" * 78
        print(
            f"{line}\nmixedfast is being built WITHOUT CHOLMOD (SuiteSparse).\n"
            "Models with one grouping factor, and small crossed ones, will work.\n"
            "Large crossed or nested models (engine='cholmod') will NOT: they raise BuildError.\n"
            f"To have them, type:  {advice}\nand build again.\n{line}",
            file=sys.stderr,
        )
        return None

    def probe(self, place: find_cholmod.Place) -> str | None:
        """Compile, link and run the probe; what it printed, or None."""
        libraries = [] if place.library is None else [str(place.library)]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(find_cholmod.PROBE)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, include_dirs=[str(place.include)]
                )
                self.compiler.link_executable(
                    objects,
                    str(Path(folder) / "probe"),
                    libraries=["cholmod"],
                    library_dirs=libraries,
                    runtime_library_dirs=[] if os.name == "nt" else libraries,
                )
            except (CompileError, LinkError):
                return None
            done = subprocess.run(
                [str(Path(folder) / "probe")], capture_output=True, text=True, check=False
            )
            return done.stdout if done.returncode == 0 else None

    def point_to(self, place: find_cholmod.Place) -> None:
        for extension in self.extensions:
            if extension.name not in NEED_CHOLMOD:
                continue
            extension.include_dirs.append(str(place.include))
            if place.library is not None:
                extension.library_dirs.append(str(place.library))
                if os.name != "nt" and not is_set(NO_RPATH):
                    extension.runtime_library_dirs.append(str(place.library))

    def write_buildinfo(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_buildinfo.py").write_text(self.buildinfo)

    def copy_extensions_to_source(self) -> None:
        """Copy the extensions and the record of the build to the package, for a build in place."""
        super().copy_extensions_to_source()
        self.write_buildinfo(ROOT / "mixedfast")


def extensions() -> list[Extension]:
    headers = sorted(glob("csrc/*.h"))

    def extension(name: str, *kernels: str, **more: list[str]) -> Extension:
        sources = [f"mixedfast/{name}.pyx", *(f"csrc/{kernel}.c" for kernel in kernels)]
        return Extension(
            f"mixedfast.{name.replace('/', '.')}",
            sources,
            include_dirs=["csrc"],
            depends=headers,
            **more,
        )

    return [
        extension("_locks"),
        extension("data/_codes", "mf_codes"),
        extension("covariance/_theta"),
        extension("crossprod/_pivots"),
        extension("crossprod/_sums", "mf_columns", "mf_crossprod", "mf_pairs"),
        extension("estimation/_small_system", "mf_levels", "mf_moments"),
        extension("estimation/_small_search"),
        extension("engines/_cooccurrence", "mf_cooccurrence"),
        extension("engines/_levels", "mf_levels", "mf_moments"),
        extension("engines/_border", "mf_schur", "mf_rest"),
        extension("engines/_blocked_cholesky"),
        extension("engines/_cholmod", libraries=["cholmod"]),
        extension("estimation/glmm/_families", "mf_families"),
        extension("estimation/glmm/_effects", "mf_effects"),
        extension("engines/_selinv", "mf_selinv"),  # reads CHOLMOD's structs and calls none of it
    ]


os.chdir(ROOT)
if (
    os.environ.get("MIXEDFAST_METADATA_ONLY") == "1"
):  # for the Makefile, which compiles once, afterwards
    setup()
else:
    debug = is_set(DEBUG)
    setup(
        ext_modules=cythonize(
            extensions(),
            build_dir="build/cython-debug" if debug else "build/cython",
            compiler_directives=DEBUG_DIRECTIVES if debug else DIRECTIVES,
        ),
        cmdclass={"build_ext": BuildExtensions},
    )
