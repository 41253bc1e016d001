"""Every input kept for the fuzz targets, once: seeds, and whatever broke something.

`make fuzz` looks for more.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent
ROOT = FUZZ.parents[1]
sys.path[:0] = [str(FUZZ), str(FUZZ / "python")]

import run as fuzz  # noqa: E402 (beside its targets, as a program finds it)

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
#: Stands in for libFuzzer: one input a file.
MAIN = """
#include <stdint.h>
#include <stdio.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int main(int count, char **files)
{
    static uint8_t data[1 << 16];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(files[i], "rb");
        if (!file) return 2;
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
    }
    return 0;
}
"""


@pytest.mark.parametrize("name", fuzz.PYTHON)
def test_doors(name):
    target = importlib.import_module(name)
    for data in fuzz.kept(name):
        target.one_input(data)


@pytest.mark.skipif(
    COMPILER is None or not (ROOT / "csrc").is_dir(),
    reason="no C compiler, or no sources beside the tests",
)
@pytest.mark.exhaustive  # a compiler for each; `make fuzz` begins with these inputs too
@pytest.mark.parametrize("name", fuzz.KERNELS)
def test_kernels(name, tmp_path):
    (tmp_path / "main.c").write_text(MAIN)
    kernels = [ROOT / "csrc" / f"{part}.c" for part in fuzz.KERNELS[name]]
    sources = [tmp_path / "main.c", FUZZ / "kernels" / f"{name}.c", *kernels]
    folders = [f"-I{ROOT / 'csrc'}", f"-I{FUZZ / 'kernels'}"]
    call = [
        COMPILER,
        "-std=c11",
        "-D_GNU_SOURCE",
        "-O1",
        *folders,
        *map(str, sources),
        "-lm",
        "-o",
        str(tmp_path / "program"),
    ]
    subprocess.run(call, check=True)
    files = []
    for i, data in enumerate(fuzz.kept(name)):
        files.append(str(tmp_path / f"{i:03d}"))
        Path(files[-1]).write_bytes(data)
    done = subprocess.run([str(tmp_path / "program"), *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
