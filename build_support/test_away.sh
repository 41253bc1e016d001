#!/bin/sh
# test_away.sh PYTHON SDIST WHAT [PIP OPTION…]: installs WHAT (a wheel, or SDIST, which is then built) in a new
# environment, and runs the tests of SDIST outside of the tree. RUN is put before each command, as in
# RUN=build_support/without_suitesparse.sh; TESTS names some of the tests instead of all.
set -eu
python=$1 sdist=$(realpath "$2") what=$(realpath "$3")
shift 3
run=${RUN:+$(realpath "$RUN")}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tar -xzf "$sdist" -C "$scratch" --strip-components=1
rm -rf "$scratch/mixedfast" "$scratch/setup.py" "$scratch/build_support" # the tests must import the installed package
"$python" -m venv "$scratch/env"
"$scratch/env/bin/python" -m pip install --quiet --disable-pip-version-check "$@" "$what[test,plots]"
cd "$scratch"
$run env/bin/mixedfast versions
# shellcheck disable=SC2086
$run env/bin/python -m pytest -q -p no:cacheprovider ${TESTS:-tests}
