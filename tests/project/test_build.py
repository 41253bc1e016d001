"""How the extensions are found and built: the search for CHOLMOD, and what it writes down.

The tests of the search need the source tree; away from it (a wheel's test run) they are skipped.
"""

from __future__ import annotations

import ast
import ctypes
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import mixedfast

TREE = Path(__file__).resolve().parents[2]
IN_TREE = (TREE / "setup.py").is_file()
needs_tree = pytest.mark.skipif(not IN_TREE, reason="needs the source tree")


@pytest.fixture
def search():
    """build_support/find_cholmod.py, which is no part of the package."""
    if not IN_TREE:
        pytest.skip("needs the source tree")
    spec = importlib.util.spec_from_file_location(
        "find_cholmod", TREE / "build_support" / "find_cholmod.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["find_cholmod"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["find_cholmod"]


def folder_with_header(root, *parts):
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True)
    (folder / "cholmod.h").write_text("")
    return folder


def test_places_are_tried_in_the_order_promised(search, tmp_path, monkeypatch):
    named = folder_with_header(tmp_path, "named")
    packaged = folder_with_header(tmp_path, "packaged", "suitesparse")
    conda = folder_with_header(tmp_path, "conda", "include", "suitesparse")
    brewed = folder_with_header(tmp_path, "brewed", "include", "suitesparse")
    answers = {"pkg-config": str(packaged.parent), "brew": str(tmp_path / "brewed")}
    monkeypatch.setattr(search, "_output_of", lambda *command: answers[command[0]])
    found = search.places(
        {"CONDA_PREFIX": str(tmp_path / "conda"), "SUITESPARSE_INCLUDE_DIR": str(named)}
    )
    order = list(dict.fromkeys(place.include for place in found))
    assert order[:4] == [named, packaged, conda, brewed]
    assert [p.found_by for p in found if p.include == conda] == ["conda"]
    assert {p.found_by for p in found[5:]} <= {"homebrew", "system"}


def test_our_own_variable_comes_before_the_general_one(search, tmp_path):
    ours, general = folder_with_header(tmp_path, "ours"), folder_with_header(tmp_path, "general")
    found = search.places(
        {
            "SUITESPARSE_INCLUDE_DIR": str(general),
            "MIXEDFAST_CHOLMOD_INCLUDE": str(ours),
            "MIXEDFAST_CHOLMOD_LIB": "/somewhere/lib",
        }
    )
    assert [p.include for p in found[:2]] == [ours, general]
    assert found[0].library == Path("/somewhere/lib")
    assert found[1].library is None


def test_a_wrong_variable_is_an_error_and_not_passed_over(search, tmp_path):
    with pytest.raises(search.CholmodNotFound, match=r"cholmod\.h is in"):
        search.places({"MIXEDFAST_CHOLMOD_INCLUDE": str(tmp_path)})
    named = folder_with_header(tmp_path, "named")
    with pytest.raises(search.CholmodNotFound, match="does not build or run"):
        search.find({"MIXEDFAST_CHOLMOD_INCLUDE": str(named)}, lambda place: None)


def test_the_first_place_whose_probe_runs_is_taken(search, monkeypatch):
    first, second = (search.Place("system", Path(name), None) for name in "ab")
    monkeypatch.setattr(search, "places", lambda environ: [first, second])
    found = search.find({}, lambda place: "5.2.1 0 1\n" if place is second else None)
    assert found == search.Cholmod(second, "5.2.1", metis=False, supernodal=True)
    assert search.find({}, lambda place: None) is None


def build_without_cholmod(tmp_path, search, **environment):
    """setup.py build_ext where no place has CHOLMOD; the compilers are not reached."""
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(TREE / 'build_support')!r})\n"
        "import find_cholmod\n"
        "find_cholmod.places = lambda environ: []\n"
        "from setuptools.command.build_ext import build_ext\n"
        "build_ext.build_extensions = lambda self: print('BUILT', [e.name for e in self.extensions])\n"
        f"sys.argv = ['setup.py', 'build_ext', '--build-lib', {str(tmp_path / 'lib')!r}]\n"
        f"runpy.run_path({str(TREE / 'setup.py')!r}, run_name='__main__')\n"
    )
    environ = {
        k: v for k, v in os.environ.items() if k != "MIXEDFAST_REQUIRE_CHOLMOD"
    } | environment
    return subprocess.run(
        [sys.executable, driver], capture_output=True, text=True, env=environ, check=False
    )


def can_build():
    """Whether setup.py can run here, without the isolation that a build front end gives it."""
    try:
        return int(version("setuptools").split(".")[0]) >= 77 and bool(version("cython"))
    except PackageNotFoundError:
        return False


needs_build_tools = pytest.mark.skipif(not can_build(), reason="needs setuptools and Cython")


@needs_tree
@needs_build_tools
def test_without_cholmod_the_build_goes_on_and_says_so(tmp_path, search):
    done = build_without_cholmod(tmp_path, search)
    assert done.returncode == 0, done.stderr
    names = (
        "_locks",
        "data._codes",
        "covariance._theta",
        "crossprod._pivots",
        "crossprod._sums",
        *(f"engines.{name}" for name in ("_cooccurrence", "_levels", "_border")),
        "engines._blocked_cholesky",
        *(f"estimation.{name}" for name in ("_small_system", "_small_search")),
        *(f"estimation.glmm.{name}" for name in ("_families", "_effects")),
    )
    listed = re.search(r"BUILT (\[.*\])", done.stdout)
    assert listed is not None
    built = ast.literal_eval(listed.group(1))
    assert sorted(built) == sorted(f"mixedfast.{name}" for name in names)
    assert "WITHOUT CHOLMOD" in done.stderr
    assert search.advice(os.environ) in done.stderr
    written = {}
    exec((tmp_path / "lib" / "mixedfast" / "_buildinfo.py").read_text(), written)
    assert written["CHOLMOD"] is None
    assert written["METIS"] is False


@needs_tree
@needs_build_tools
def test_a_required_cholmod_that_is_absent_stops_the_build(tmp_path, search):
    done = build_without_cholmod(tmp_path, search, MIXEDFAST_REQUIRE_CHOLMOD="1")
    assert done.returncode != 0
    assert "MIXEDFAST_REQUIRE_CHOLMOD is set" in done.stderr
    assert search.advice(os.environ) in done.stderr


def run_system_packages(tmp_path, python, **programs):
    """system_packages.sh with only these programs on the path, each a line of shell."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("dirname", "id", "tail", "mktemp", "rm", "cat", "uname"):
        real = subprocess.run(
            ["which", name], capture_output=True, text=True, check=True
        ).stdout.strip()
        (commands / name).symlink_to(real)
    programs.setdefault("python3", python)
    for name, line in programs.items():
        program = commands / name.replace("_", "-")
        program.unlink(missing_ok=True)
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    script = TREE / "build_support" / "system_packages.sh"
    return subprocess.run(
        ["/bin/sh", script],
        capture_output=True,
        text=True,
        env={"PATH": str(commands)},
        check=False,
    )


# A Python that has everything but ensurepip; like Debian's without python3-venv.
NO_VENV = 'case "$*" in *ensurepip*) exit 1;; esac; exit 0'
LOG = 'echo "$0 $*" >>"$(dirname "$0")/../log"'


@needs_tree
def test_what_is_missing_is_installed_by_root(tmp_path):
    done = run_system_packages(tmp_path, NO_VENV, cc="", id="echo 0", apt_get=LOG)
    assert done.returncode == 0, done.stderr
    calls = [line.split("/bin/")[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert calls[0] == "apt-get update"
    assert calls[1].split() == [
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        "python3-venv",
    ]


@needs_tree
def test_without_the_right_to_install_one_sentence_says_what_to_type(tmp_path):
    done = run_system_packages(tmp_path, NO_VENV, id="echo 1000", apt_get=LOG)
    assert done.returncode == 1
    assert not (tmp_path / "log").exists()
    (sentence,) = done.stderr.strip().splitlines()
    assert sentence.startswith("mixedfast needs some system packages; type:  sudo apt-get install")
    assert "gcc" in sentence
    assert "python3-venv" in sentence


@needs_tree
def test_sudo_without_a_password_is_used(tmp_path):
    sudo = f'{LOG}; [ "$2" = true ] || {{ shift; "$@"; }}'
    done = run_system_packages(tmp_path, NO_VENV, cc="", id="echo 1000", sudo=sudo, dnf=LOG)
    assert done.returncode == 0, done.stderr
    assert "dnf install --assumeyes python3" in (tmp_path / "log").read_text()


@needs_tree
def test_nothing_is_done_when_nothing_is_missing(tmp_path):
    done = run_system_packages(tmp_path, "exit 0", cc="", apt_get=LOG)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "log").exists()


@needs_tree
def test_an_old_python_is_named(tmp_path):
    old = 'case "$*" in -V) echo "Python 3.8.1";; *version_info*) exit 1;; esac'
    done = run_system_packages(tmp_path, old)
    assert done.returncode == 1
    assert "3.10 or later" in done.stderr
    assert "Python 3.8.1" in done.stderr


def test_the_build_says_what_was_built():
    info = pytest.importorskip("mixedfast._buildinfo", reason="built by hand, without setup.py")
    has_cholmod = importlib.util.find_spec("mixedfast.engines._cholmod") is not None
    assert (info.CHOLMOD is not None) == has_cholmod
    assert "-march=native" not in info.C_FLAGS
    if has_cholmod:
        from mixedfast.engines import _cholmod

        assert _cholmod.has_metis() == info.METIS
        assert _cholmod.has_supernodal() == info.SUPERNODAL
        assert _cholmod.version().split(".")[0] == info.CHOLMOD.split(".")[0]


@needs_tree
def test_no_module_exports_a_kernel():
    """Kernels of two modules, or of another package, must not meet in the loader."""
    kernels = {
        name
        for header in (TREE / "csrc").glob("*.h")
        for name in re.findall(r"\b(mf_\w+)\(", header.read_text())
    }
    assert {"mf_crossprod", "mf_levels_factor", "mf_selinv_simplicial"} <= kernels
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    modules = sorted(Path(mixedfast.__file__).parent.rglob(f"*{suffix}"))
    assert modules
    for module in modules:
        library = ctypes.CDLL(str(module))
        assert hasattr(library, f"PyInit_{module.name.removesuffix(suffix)}")
        assert [name for name in sorted(kernels) if hasattr(library, name)] == []


def test_the_package_carries_its_data_and_its_types():
    folder = Path(mixedfast.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "engines" / "_cholmod.pyi").is_file()
    assert list((folder / "data" / "samples").glob("*.csv.gz"))


@needs_tree
def test_the_makefile_and_pyproject_ask_for_the_same_build_tools():
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    required = tomllib.loads((TREE / "pyproject.toml").read_text())["build-system"]["requires"]
    line = next(
        s for s in (TREE / "Makefile").read_text().splitlines() if s.startswith("BUILD_TOOLS")
    )
    assert line.split(":=")[1].replace('"', "").split() == required
