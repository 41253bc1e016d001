"""The files that are published: what is in them, and that the same tree gives the same bytes.

Most of it is about the programs in build_support/, which need the source tree; `make test-wheel`
runs the last test on a wheel.
"""

from __future__ import annotations

import doctest
import gzip
import importlib.util
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import mixedfast

BUILD_SUPPORT = Path(__file__).resolve().parents[2] / "build_support"


@pytest.fixture
def program(monkeypatch):
    """Import a program of build_support/, which is not part of the package."""

    def load(name):
        if not BUILD_SUPPORT.is_dir():
            pytest.skip("needs the source tree")
        monkeypatch.syspath_prepend(str(BUILD_SUPPORT))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


def test_lower_bounds_are_those_of_the_requirements(program):
    bounds = program("lower_bounds")
    project = {
        "dependencies": ["numpy>=1.26", "scipy>=1.11,<3"],
        "optional-dependencies": {
            "test": ["numpy>=2.0", "pytest>=8"],
            "pinned": ["sparse==0.4.16; sys_platform != 'win32'"],
        },
    }
    assert bounds.constraints(project, []) == ["numpy==1.26", "scipy==1.11"]
    assert bounds.constraints(project, ["test"]) == ["numpy==2.0", "pytest==8", "scipy==1.11"]
    assert "sparse==0.4.16" in bounds.constraints(project, ["pinned"])
    with pytest.raises(ValueError, match="ruff has no lower bound"):
        bounds.lower_bound(Requirement("ruff"))


def test_a_settled_archive_tells_nothing_of_when_where_and_by_whom(program):
    def packed(names, **facts):
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w:gz") as tar:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(name)
                for fact, value in facts.items():
                    setattr(member, fact, value)
                tar.addfile(member, io.BytesIO(name.encode()))
        return whole.getvalue()

    settled = program("distributions").settled
    first = settled(
        packed(["a/one", "a/two"], mtime=5, uid=7, uname="me", mode=0o600), 1_000_000_000
    )
    second = settled(packed(["a/two", "a/one"], mtime=9, gname="us", mode=0o664), 1_000_000_000)
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert [tar.extractfile(member).read() for member in tar] == [b"a/one", b"a/two"]
    assert gzip.decompress(first) != gzip.decompress(
        settled(packed(["a/one", "a/two"]), 1_000_000_001)
    )


def unpacked_wheel(root, **libraries):
    """Return the parts of an unpacked wheel that licences are added to."""
    info = root / "mixedfast-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Name: mixedfast\nLicense-Expression: BSD-3-Clause\nLicense-File: LICENSE\n\nText\n"
    )
    (root / "mixedfast.libs").mkdir()
    for name, content in libraries.items():
        (root / "mixedfast.libs" / f"lib{name}-0a1b2c3d.so.5").write_bytes(content)
    texts = root / "texts"
    texts.mkdir()
    (texts / "AMD.txt").write_text("as is")
    return info, texts


def test_licences_of_what_is_bundled_go_into_the_wheel(program, tmp_path):
    repair = program("repair")
    info, texts = unpacked_wheel(tmp_path, cholmod=b"cholmod_l_analyze", amd=b"amd_l_order")
    rows = repair.add_licences(tmp_path, texts)
    assert rows == [
        ("libamd-0a1b2c3d.so.5", "BSD-3-Clause"),
        ("libcholmod-0a1b2c3d.so.5", "LGPL-2.1-or-later AND Apache-2.0"),
    ]
    head = (info / "METADATA").read_text().split("\n\n")[0].splitlines()
    assert "License-Expression: BSD-3-Clause AND LGPL-2.1-or-later AND Apache-2.0" in head
    for name in (line.split(": ")[1] for line in head if line.startswith("License-File: bundled")):
        assert (info / "licenses" / name).is_file()
    assert (
        "| libamd-0a1b2c3d.so.5 | BSD-3-Clause |"
        in (info / "licenses" / "bundled" / "README.md").read_text()
    )


@pytest.mark.parametrize(
    ("library", "content", "message"),
    [
        ("cholmod", b"cholmod_l_super_numeric", "under the GPL"),
        ("gfortran", b"", "its licence is not in"),
    ],
)
def test_a_library_that_may_not_be_bundled_stops_the_repair(
    program, tmp_path, library, content, message
):
    repair = program("repair")
    _, texts = unpacked_wheel(tmp_path, **{library: content})
    with pytest.raises(repair.RepairError, match=message):
        repair.add_licences(tmp_path, texts)


@pytest.mark.parametrize("name", ["repair", "distributions", "suitesparse", "lower_bounds"])
def test_examples_in_the_programs(program, name):
    failed, _ = doctest.testmod(program(name))
    assert failed == 0


def test_other_code_than_the_known_one_is_not_built(program, tmp_path):
    suitesparse = program("suitesparse")
    for folder in suitesparse.FOLDERS:
        (tmp_path / "tree" / folder).mkdir(parents=True)
        (tmp_path / "tree" / folder / "code.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "tree" / "CMakeLists.txt").write_text("")
    before = suitesparse.digest(tmp_path / "tree")
    (tmp_path / "tree" / "AMD" / "manual.pdf").write_text("no code")
    assert suitesparse.digest(tmp_path / "tree") == before
    (tmp_path / "tree" / "AMD" / "code.c").write_text("int main(void) { return 1; }\n")
    assert suitesparse.digest(tmp_path / "tree") != before
    with pytest.raises(suitesparse.SuiteSparseError, match="is not that of SuiteSparse"):
        suitesparse.main(tmp_path / "prefix", tmp_path / "tree")
    assert not (tmp_path / "prefix").exists()


@pytest.mark.skipif(
    os.environ.get("MIXEDFAST_TESTED_WHEEL") != "repaired",
    reason="is about a repaired wheel: make test-wheel",
)
def test_a_repaired_wheel_loads_its_own_libraries_only():
    carried = Path(mixedfast.__file__).parent.parent / "mixedfast.libs"
    assert any(path.name.startswith("libcholmod-") for path in carried.iterdir())
    script = "import mixedfast.engines._cholmod\nprint(open('/proc/self/maps').read())"
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    loaded = {Path(line.split()[-1]) for line in shown.splitlines() if ".so" in line}
    sparse = [
        path
        for path in loaded
        if re.match(r"lib(cholmod|(c|cc|col|ccol)?amd|suitesparse)", path.name)
    ]
    assert {path.parent for path in sparse} == {carried}
    assert {path.name for path in sparse} == {path.name for path in carried.iterdir()}
