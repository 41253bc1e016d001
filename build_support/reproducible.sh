#!/bin/sh
# reproducible.sh PYTHON: builds the distributions of the committed tree twice, SuiteSparse included, in two folders
# whose names differ in length, and compares the bytes.
set -eu
python=$1
tree=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
commit=$(git -C "$tree" rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git -C "$tree" log -1 --format=%ct "$commit")
export SOURCE_DATE_EPOCH
for place in "$scratch/one" "$scratch/quite/another/folder"; do
    mkdir -p "$place"
    git -C "$tree" archive "$commit" | tar -x -C "$place"
    "$python" "$place/build_support/suitesparse.py" "$place/build/suitesparse"
    "$python" "$place/build_support/distributions.py" "$place/dist" "$place/build/suitesparse"
    (cd "$place/dist" && sha256sum ./*) >"$place/sums"
done
cat "$scratch/one/sums"
diff "$scratch/one/sums" "$scratch/quite/another/folder/sums"
echo "both builds have the same bytes"
