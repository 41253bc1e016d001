#!/bin/sh
# Installs the packages that a virtual environment needs: a C compiler, the headers of Python, its venv
# module, and the headers of SuiteSparse. Missing ones are installed if that is allowed (root, or sudo
# without a password; conda and Homebrew need neither); otherwise one sentence gives the command to
# type. Words after the Python name further tools: libfuzzer, valgrind.
set -eu
python=${1:-python3}
if [ $# -gt 0 ]; then shift; fi
tools=" $* "
here=$(dirname "$0")

has() { command -v "$1" >/dev/null 2>&1; }

has "$python" || { echo "mixedfast needs Python 3.10 or later, and there is no '$python' here." >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "mixedfast needs Python 3.10 or later; '$python' is $("$python" -V). Type: make PYTHON=python3.12 …" >&2
    exit 1
}

# Each of these succeeds if its package is present.
compiler() { has cc || has gcc || has clang; }
headers() {
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}
venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
cholmod() { "$python" "$here/find_cholmod.py" >/dev/null; }
# A tool that is not named in the arguments is never missing.
asked() { case $tools in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
libfuzzer() {
    ! asked libfuzzer || echo 'int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && size; }' |
        clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null
}
memcheck() { ! asked valgrind || has valgrind; }

# name_for COMPILER HEADERS VENV CHOLMOD LIBFUZZER VALGRIND: prints the names of the missing packages.
name_for() {
    compiler || printf '%s ' "$1"
    headers || printf '%s ' "$2"
    venv || printf '%s ' "$3"
    cholmod || printf '%s ' "$4"
    libfuzzer || printf '%s ' "$5"
    memcheck || printf '%s ' "$6"
}

if compiler && headers && venv && cholmod && libfuzzer && memcheck; then exit 0; fi

if [ -n "${CONDA_PREFIX:-}" ] && has conda; then
    packages=$(name_for c-compiler python python suitesparse "clang compiler-rt" valgrind)
    install="conda install --yes --quiet"
    as_root=no
elif has apt-get; then
    packages=$(name_for gcc python3-dev python3-venv libsuitesparse-dev "clang libclang-rt-dev" valgrind)
    # Headers are useless without those of the C library, which a bare gcc only recommends.
    case $packages in *gcc*) packages="$packages libc6-dev" ;; esac
    install="apt-get install --yes --no-install-recommends"
    as_root=yes
elif has dnf; then
    packages=$(name_for gcc python3-devel python3 suitesparse-devel "clang compiler-rt" valgrind)
    install="dnf install --assumeyes"
    as_root=yes
elif has brew; then
    packages=$(name_for gcc python python suite-sparse llvm valgrind)
    install="brew install"
    as_root=no
else
    echo "mixedfast needs a C compiler, Python's headers, its venv module and SuiteSparse (cholmod.h):" \
        "install what is missing with your package manager." >&2
    if compiler && headers && venv; then exit 0; else exit 1; fi
fi

become=""
if [ "$as_root" = yes ] && [ "$(id -u)" -ne 0 ]; then
    if has sudo && sudo -n true 2>/dev/null; then
        become="sudo -n"
    else
        echo "mixedfast needs some system packages; type:  sudo $install $packages" >&2
        # If only CHOLMOD is missing the build goes on and prints what will not work.
        if compiler && headers && venv && [ "${MIXEDFAST_REQUIRE_CHOLMOD:-0}" = 0 ]; then exit 0; else exit 1; fi
    fi
fi

echo "Installing: $packages" >&2
log=$(mktemp)
# Packages that only the tests of a tool need do not stop the build: those tests print that they are missing.
essential() { compiler && headers && venv && { cholmod || [ "${MIXEDFAST_REQUIRE_CHOLMOD:-0}" = 0 ]; }; }
# Lists of packages are fetched first where they may be missing, as in a fresh container.
if has apt-get && [ "$as_root" = yes ]; then
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    # shellcheck disable=SC2086
    $become apt-get update >"$log" 2>&1 || true # the install below fails if the lists are too old
fi
# shellcheck disable=SC2086
if ! $become $install $packages >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "Installing failed; type:  ${become:+sudo }$install $packages" >&2
    if [ $# -gt 0 ] && essential; then exit 0; fi
    exit 1
fi
rm -f "$log"
