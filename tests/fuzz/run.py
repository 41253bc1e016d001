"""Fuzz every target for a while, two at a time.

`make fuzz`, or::

    python tests/fuzz/run.py [--seconds 60] [--seed 1] [TARGET …]

The kernels' targets (kernels/*.c) are built with clang's libFuzzer, AddressSanitizer and
UndefinedBehaviorSanitizer; those in Python (python/*.py) run under atheris, which is libFuzzer
within Python. Extension modules in Cython are built anew for their targets, with both sanitizers
and for the same fuzzer. Each target begins with the inputs kept in inputs/ and the corpus that
earlier runs left in build/fuzz. What has a crash ends with status 1 and says how to see it again;
what cannot be run here is named. With a seed every run tries the same inputs in the same order, as
far as its seconds reach.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "fuzz"
#: Target -> the kernels it is linked with.
KERNELS = {
    "codes": ("mf_codes",),
    "columns": ("mf_columns",),
    "crossprod": ("mf_crossprod", "mf_columns"),
    "pairs": ("mf_pairs", "mf_columns"),
    "cooccurrence": ("mf_cooccurrence",),
    "levels": ("mf_levels",),
    "moments": ("mf_moments",),
    "border": ("mf_schur", "mf_rest"),
    "cross": ("mf_schur", "mf_rest"),
    "selinv": ("mf_selinv",),
}
#: Target -> the extension module that it calls.
EXTENSIONS = {"theta": "covariance/_theta", "dense": "engines/_blocked_cholesky"}
PYTHON = ("formulas", "files", "tables", *EXTENSIONS)
FLAGS = (
    "-std=c11",
    "-D_GNU_SOURCE",
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fno-sanitize-recover=all",
)
KERNEL_FLAGS = (*FLAGS, "-Wall", "-Wextra", "-fsanitize=fuzzer,address,undefined")
EXTENSION_FLAGS = (*FLAGS, "-shared", "-fPIC", "-w", "-fsanitize=fuzzer-no-link,address,undefined")
#: Of one input: seconds, and MiB of the whole process. What takes more is a finding.
LIMITS = ("-timeout=25", "-rss_limit_mb=4096", "-malloc_limit_mb=2048")
LONGEST = {
    "codes": 4096,
    "files": 400,
    "formulas": 400,
    "tables": 600,
}  # bytes of an input; 2,048 for the others


@dataclass(frozen=True)
class Outcome:
    """The outcome for one target: inputs, edges of code they reached, and a crash's report."""

    target: str
    inputs: int
    edges: int
    crash: Path | None


def kept(target: str) -> list[bytes]:
    """Return the inputs kept for a target, one line each in hexadecimal digits.

    They are seeds, and whatever broke something once.
    """
    lines = (HERE / "inputs" / f"{target}.txt").read_text(encoding="utf-8").splitlines()
    return [bytes.fromhex(line.partition("#")[0]) for line in lines if not line.startswith("#")]


def _seeds(target: str) -> Path:
    folder = BUILD / "kept" / target
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for i, data in enumerate(kept(target)):
        (folder / f"{i:03d}").write_bytes(data)
    return folder


def build(target: str) -> Path:
    """Return the program of a kernel's target."""
    program = BUILD / "programs" / target
    program.parent.mkdir(parents=True, exist_ok=True)
    sources = [
        HERE / "kernels" / f"{target}.c",
        *(ROOT / "csrc" / f"{name}.c" for name in KERNELS[target]),
    ]
    folders = [f"-I{ROOT / 'csrc'}", f"-I{HERE / 'kernels'}"]
    subprocess.run(
        ["clang", *KERNEL_FLAGS, *folders, *map(str, sources), "-lm", "-o", str(program)],
        check=True,
    )
    return program


def build_extension(name: str) -> Path:
    """Return the folder with an extension module built with the sanitizers.

    The C files are those that `make build` had Cython write.
    """
    folder = BUILD / "extensions"
    library = folder / f"{name}.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    source = ROOT / "build" / "cython" / "mixedfast" / f"{name}.c"
    include = f"-I{sysconfig.get_path('include')}"
    subprocess.run(
        ["clang", *EXTENSION_FLAGS, include, str(source), "-lm", "-o", str(library)], check=True
    )
    return folder


def sanitized(name: str) -> dict[str, str]:
    """Return the environment of a Python that loads the module of `build_extension`.

    The sanitizer must be loaded first.
    """
    import atheris

    runtime = Path(atheris.path()) / "asan_with_fuzzer.so"
    # leaks: Python leaves much behind at its end
    return {
        "FUZZ_EXTENSIONS": str(build_extension(name)),
        "LD_PRELOAD": str(runtime),
        "ASAN_OPTIONS": "detect_leaks=0",
    }


def run(target: str, seconds: int, seed: int = 0) -> Outcome:
    """Fuzz one target: new inputs each time, or with a seed (not 0) the inputs of the seed.

    Both start from what earlier runs left.
    """
    program = (
        [str(build(target))]
        if target in KERNELS
        else [sys.executable, str(HERE / "python" / f"{target}.py")]
    )
    corpus, crashes, log = (
        BUILD / "corpus" / target,
        BUILD / "crashes" / target,
        BUILD / f"{target}.log",
    )
    if seed:
        shutil.rmtree(corpus, ignore_errors=True)
    for folder in (corpus, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    length = LONGEST.get(target, 2048)
    options = [
        f"-seed={seed}",
        f"-max_total_time={seconds}",
        f"-max_len={length}",
        f"-artifact_prefix={crashes}/",
        *LIMITS,
    ]
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        **({"PYTHONHASHSEED": "0"} if seed else {}),
    }
    if target in EXTENSIONS:
        environment |= sanitized(EXTENSIONS[target])
    with log.open("w") as out:
        done = subprocess.run(
            [*program, str(corpus), str(_seeds(target)), *options],
            stdout=out,
            stderr=out,
            env=environment,
        )
    said = log.read_text(errors="replace")
    inputs = [int(found) for found in re.findall(r"^#(\d+)\s", said, re.MULTILINE)]
    edges = [int(found) for found in re.findall(r" cov: (\d+)", said)]
    return Outcome(
        target, max(inputs, default=0), max(edges, default=0), log if done.returncode else None
    )


def _has_libfuzzer() -> bool:
    if shutil.which("clang") is None:
        return False
    call = ["clang", "-fsanitize=fuzzer,address", "-x", "c", "-", "-o", os.devnull]
    empty = b"int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && size; }"
    return subprocess.run(call, input=empty, capture_output=True).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the kernels and the doors.")
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help=f"of {', '.join([*KERNELS, *PYTHON])} (default: all)",
    )
    parser.add_argument(
        "--seconds", type=int, default=60, help="for each target (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="1 and up: the inputs of this seed (default: new ones each time)",
    )
    options = parser.parse_args()
    unknown = set(options.targets) - {*KERNELS, *PYTHON}
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    wanted = options.targets or [*KERNELS, *PYTHON]
    missing = {}
    if not _has_libfuzzer():
        clang = "clang with libFuzzer is not here (Debian: clang libclang-rt-dev)"
        missing.update(dict.fromkeys((*KERNELS, *EXTENSIONS), clang))
    if importlib.util.find_spec("atheris") is None:
        missing.update(
            dict.fromkeys(
                PYTHON, "atheris is not here (pip install atheris; CPython on Linux and macOS)"
            )
        )
    for target in wanted:
        if target in missing:
            print(f"not fuzzed: {target}, {missing[target]}")
    here = [target for target in wanted if target not in missing]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda target: run(target, options.seconds, options.seed), here))
    print(f"\n{'target':13} {'inputs':>12} {'edges':>7}   crashes")
    for one in outcomes:
        print(
            f"{one.target:13} {one.inputs:12,} {one.edges:7,}   {'none' if one.crash is None else f'see {one.crash}'}"
        )
    broken = [one for one in outcomes if one.crash is not None]
    # the line that test runners end with
    print(
        f"\n{len(outcomes) - len(broken)} passed, {len(broken)} failed, {len(wanted) - len(outcomes)} skipped"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
