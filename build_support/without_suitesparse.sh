#!/bin/sh
# without_suitesparse.sh COMMAND…: runs a command as if the system had no SuiteSparse, BLAS or Fortran.
#
# In a mount namespace of its own, every such library that the loader knows is an empty file, and the folder of headers
# is empty, for this command only. A program that loads one of them ends with "file too short". Where such a namespace is
# not allowed (not root, or a container that forbids it) the command runs with all libraries, and a warning is printed.
set -eu
names='(cholmod|(c|cc|col|ccol)?amd|suitesparseconfig|metis|umfpack|spqr|klu|blas|lapack|openblas[a-z0-9]*|gfortran|gomp|quadmath)'
if [ "${WITHOUT_SUITESPARSE:-}" != inside ]; then
    for root in "" --map-root-user; do
        # shellcheck disable=SC2086
        if unshare --mount $root mount --bind /dev/null "$0" 2>/dev/null; then
            WITHOUT_SUITESPARSE=inside exec unshare --mount $root "$0" "$@"
        fi
    done
    echo "NOT HIDDEN: mount namespaces are not allowed here; the command can load the libraries of the system: $*" >&2
    exec "$@"
fi
for library in $(/sbin/ldconfig -p | sed -n 's/.*=> //p' | grep -E "/lib$names\.so" | xargs -r readlink -f | sort -u); do
    mount --bind /dev/null "$library"
done
for headers in /usr/include/suitesparse /usr/local/include/suitesparse; do
    [ ! -d "$headers" ] || mount -t tmpfs none "$headers"
done
unset WITHOUT_SUITESPARSE
exec "$@"
