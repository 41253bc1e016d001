"""Sparse Cholesky factors of one pattern, refactorized many times by CHOLMOD.

Source: Chen, Davis, Hager & Rajamanickam (2008), Algorithm 887: CHOLMOD, ACM TOMS 35(3).

CHOLMOD permutes a matrix anew, in new memory, each time it factorizes one. Here that happens once:
the ordering is chosen first, the pattern is permuted, and CHOLMOD analyses the permuted pattern in
its natural order. A refactorization is then a scatter of the values and CHOLMOD's numeric loop, in
memory that exists already.
"""

from libc.float cimport DBL_MAX
from libc.string cimport memset
from mixedfast.engines._selinv cimport SelectedInverse, selected_inverse_of

from functools import cache

import numpy as np

from mixedfast.engines._pattern import (
    check_lower_triangle,
    check_permutation,
    compress,
    index_vector,
    permuted_entries,
)
from mixedfast.errors import CholmodError

#: flops / nnz(L) from which the supernodal method is the faster one: the default of CHOLMOD.
SUPERNODAL_SWITCH = 40.0

_ORDERINGS = {
    "natural": CHOLMOD_NATURAL,
    "given": CHOLMOD_GIVEN,
    "amd": CHOLMOD_AMD,
    "metis": CHOLMOD_METIS,
}
_ONLY_PERMUTE = -1  # beside the systems of CHOLMOD, which count from 0
# the system of CHOLMOD, and whether rows are permuted before and after it
_SYSTEMS = {
    "A": (CHOLMOD_LDLt, True, True),
    "L": (CHOLMOD_L, False, False),
    "Lt": (CHOLMOD_Lt, False, False),
    "P": (_ONLY_PERMUTE, True, False),
    "Pt": (_ONLY_PERMUTE, False, True),
}
_KINDS = ("auto", "simplicial", "supernodal")


def version():
    """Return the version of the CHOLMOD library that is loaded, such as ``"3.0.14"``."""
    cdef int parts[3]
    cholmod_l_version(parts)
    return f"{parts[0]}.{parts[1]}.{parts[2]}"


cdef cholmod_sparse _sparse(
    int64_t n, int64_t[::1] indptr, int64_t[::1] indices, double *values, int stype,
):
    """Return a CHOLMOD matrix that points to arrays owned by the caller."""
    cdef cholmod_sparse a
    memset(&a, 0, sizeof(a))
    a.nrow = a.ncol = n
    a.nzmax = indices.shape[0]
    a.p = &indptr[0]
    a.i = &indices[0]
    a.x = values
    a.stype = stype
    a.itype = CHOLMOD_LONG
    a.xtype = CHOLMOD_PATTERN if values == NULL else CHOLMOD_REAL
    a.dtype = CHOLMOD_DOUBLE
    a.sorted = a.packed = 1
    return a


cdef class Factor:
    """Sparse Cholesky factor P A Pᵀ = L Lᵀ of one pattern, for any number of values.

    The pattern is analysed once, here; `factorize` takes the values. A factor has its own workspace
    and belongs to one thread at a time; two factors may be used by two threads.

    Parameters
    ----------
    n : int
        Order of A, at least 1.
    indptr : (n + 1,) integers
    indices : (nnz,) integers
        Lower triangle of A in compressed columns: the rows of a column ascend and begin with the
        diagonal, which must be present even where its value is zero. (The same arrays describe the
        upper triangle in compressed rows.)
    orderings : sequence of str, optional
        Which of "amd", "metis", "natural" and "given" to try. The one with the fewest flops is
        kept, or in a tie that with fewer nonzeros in L; the search ends at an ordering without
        fill, which is optimal. By default "amd" and, if this CHOLMOD has it, "metis". Every
        ordering is followed by a postorder of the elimination tree, which changes neither flops
        nor nonzeros.
    kind : {"auto", "simplicial", "supernodal"}
        "auto" is supernodal from 40 flops per nonzero of L on, if this CHOLMOD has the module.
    perm : (n,) integers, optional
        The permutation for the ordering "given": row ``perm[k]`` of A becomes row k.

    Attributes
    ----------
    n : int
    ordering : str
    perm : (n,) int64
        Row k of P A Pᵀ is row ``perm[k]`` of A.
    nnz_L : int
    flops : float
        Of one numeric factorization.
    is_supernodal : bool
    candidates : list of dict
        ``{"ordering", "nnz", "flops"}`` for each ordering tried.

    Raises
    ------
    ValueError
        The pattern, an ordering, `kind` or `perm` is not as described; the message says which.
    CholmodError
        An ordering or the supernodal method is not in this CHOLMOD, or the analysis failed.
    MemoryError

    Examples
    --------
    The matrix [[4, 2], [2, 3]]:

    >>> import numpy as np
    >>> from mixedfast.engines._cholmod import Factor
    >>> factor = Factor(2, [0, 2, 3], [0, 1, 1])
    >>> factor.factorize(np.array([4.0, 2.0, 3.0]))
    0
    >>> round(float(np.exp(factor.logdet())), 12)
    8.0
    >>> factor.solve(np.array([8.0, 8.0])).round(12).tolist()
    [1.0, 2.0]
    """

    cdef cholmod_common common
    cdef cholmod_factor *factor
    cdef cholmod_sparse matrix            # P A Pᵀ, a view of the arrays below
    cdef int64_t[::1] matrix_indptr, matrix_indices
    cdef double[::1] matrix_values
    cdef int64_t[::1] places              # entry k of `data` is matrix_values[places[k]]
    cdef int64_t[::1] order               # perm
    cdef cholmod_dense *rhs               # solve2's right-hand side, answer and workspaces
    cdef cholmod_dense *answer
    cdef cholmod_dense *work_y
    cdef cholmod_dense *work_e
    cdef SelectedInverse inverse          # made by the first call of `selected_inverse`
    cdef object entries                   # rows and columns of the lower triangle of P A Pᵀ
    cdef double[::1] pivots               # the diagonal of L
    cdef bint ready                       # L holds the factor of the last values
    cdef readonly int64_t n
    cdef readonly str ordering
    cdef readonly int64_t nnz_L
    cdef readonly double flops
    cdef readonly bint is_supernodal
    cdef readonly list candidates

    def __cinit__(self, n, indptr, indices, orderings=None, kind="auto", perm=None):
        cholmod_l_start(&self.common)
        self.common.print_level = 0
        self.common.try_catch = 1         # errors are returned in `status`; nothing is printed
        self.common.useGPU = 0
        self.common.nmethods = 1
        self.common.final_asis = self.common.final_ll = self.common.final_pack = 1
        self.common.quick_return_if_not_posdef = 1

        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}")
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}, not {kind!r}")
        indptr, indices = index_vector("indptr", indptr), index_vector("indices", indices)
        check_lower_triangle(n, indptr, indices)
        self.n = n
        self._choose_ordering(indptr, indices, self._orderings_to_try(orderings, perm), perm)
        self._analyse(indptr, indices, kind)

    def __dealloc__(self):
        cholmod_l_free_factor(&self.factor, &self.common)
        cholmod_l_free_dense(&self.rhs, &self.common)
        cholmod_l_free_dense(&self.answer, &self.common)
        cholmod_l_free_dense(&self.work_y, &self.common)
        cholmod_l_free_dense(&self.work_e, &self.common)
        cholmod_l_finish(&self.common)

    cdef object _raise(self, what):
        """Raise the exception of CHOLMOD's status."""
        if self.common.status in (CHOLMOD_OUT_OF_MEMORY, CHOLMOD_TOO_LARGE):
            raise MemoryError(f"{what}: not enough memory for CHOLMOD (n = {self.n})")
        if self.common.status == CHOLMOD_NOT_INSTALLED:
            raise CholmodError(f"{what}: this CHOLMOD ({version()}) was built without it")
        raise CholmodError(f"{what}: CHOLMOD's status is {self.common.status}")

    def _orderings_to_try(self, orderings, perm):
        """Return the names of the orderings to try; ValueError for unknown ones."""
        if orderings is None:
            orderings = ("amd", "metis") if has_metis() else ("amd",)
        if isinstance(orderings, str):
            orderings = (orderings,)
        unknown = [name for name in orderings if name not in _ORDERINGS]
        if unknown or not orderings:
            raise ValueError(
                f"orderings must be some of {', '.join(_ORDERINGS)}, not {orderings!r}")
        if ("given" in orderings) != (perm is not None):
            raise ValueError('the ordering "given" and perm= belong together')
        return orderings

    cdef cholmod_factor *_symbolic(
        self, cholmod_sparse *a, str ordering, int64_t *perm,
    ) except NULL:
        """Run CHOLMOD's symbolic analysis under one ordering."""
        cdef cholmod_factor *found
        self.common.method[0].ordering = _ORDERINGS[ordering]
        with nogil:
            found = cholmod_l_analyze_p(a, perm, NULL, 0, &self.common)
        if found == NULL:
            self._raise(f"symbolic analysis with the ordering {ordering!r}")
        return found

    def _choose_ordering(self, int64_t[::1] indptr, int64_t[::1] indices, orderings, perm):
        """Try the orderings; keep the cheapest in `order`, `ordering` and `candidates`."""
        cdef cholmod_sparse a = _sparse(self.n, indptr, indices, NULL, -1)
        cdef cholmod_factor *found
        cdef int64_t[::1] given
        cdef int64_t[::1] order
        cdef int64_t *start = NULL
        cdef int64_t k
        if perm is not None:
            given = index_vector("perm", perm)
            check_permutation(np.asarray(given), self.n)
            start = &given[0]
        self.common.supernodal = CHOLMOD_SIMPLICIAL
        self.common.postorder = 1
        self.candidates = []
        best = None
        for name in orderings:
            found = self._symbolic(&a, name, start if name == "given" else NULL)
            cost = (self.common.fl, self.common.lnz)
            self.candidates.append({"ordering": name, "nnz": int(cost[1]), "flops": cost[0]})
            if best is None or cost < best:
                best, self.ordering = cost, name
                order = np.empty(self.n, np.int64)
                for k in range(self.n):
                    order[k] = (<int64_t *>found.Perm)[k]
                self.order = order
            cholmod_l_free_factor(&found, &self.common)
            if cost[1] == indices.shape[0]:
                break
        self.flops, self.nnz_L = best[0], int(best[1])

    def _analyse(self, int64_t[::1] indptr, int64_t[::1] indices, kind):
        """Permute the pattern and set up the factor that will be refactorized."""
        rows, columns = permuted_entries(
            np.asarray(indptr), np.asarray(indices), np.asarray(self.order))
        self.entries = (rows, columns)
        if kind == "auto":
            pays = self.flops >= SUPERNODAL_SWITCH * self.nnz_L and has_supernodal()
            kind = "supernodal" if pays else "simplicial"
        self.is_supernodal = kind == "supernodal"
        # In natural order the supernodal loop reads the lower triangle and the simplicial loop the
        # upper one; given the other triangle, CHOLMOD would make a transposed copy each time.
        if self.is_supernodal:
            self.matrix_indptr, self.matrix_indices, self.places = compress(self.n, rows, columns)
        else:
            self.matrix_indptr, self.matrix_indices, self.places = compress(self.n, columns, rows)
        self.matrix_values = np.zeros(indices.shape[0])
        self.pivots = np.empty(self.n)
        self.matrix = _sparse(
            self.n, self.matrix_indptr, self.matrix_indices, &self.matrix_values[0],
            -1 if self.is_supernodal else 1)
        self.common.supernodal = CHOLMOD_SUPERNODAL if self.is_supernodal else CHOLMOD_SIMPLICIAL
        self.common.postorder = 0
        self.factor = self._symbolic(&self.matrix, "natural", NULL)
        # A CHOLMOD without the module analyses for the simplicial method and reports success.
        if self.is_supernodal and not self.factor.is_super:
            raise CholmodError(
                f"this CHOLMOD ({version()}) was built without its supernodal module")

    @property
    def perm(self):
        return np.array(self.order)

    def factorize(self, data):
        """Factor A with new values, in the memory of the last factor.

        Parameters
        ----------
        data : (nnz,) float64
            Values of the entries of the pattern, in the pattern's order.

        Returns
        -------
        int
            0, or j + 1 if column j of A has no positive pivot: A is not positive definite, or not
            finite. The factor is then unusable until the next success.

        Raises
        ------
        ValueError
            `data` has another shape.
        """
        cdef const double[:] values = np.asarray(data, dtype=np.float64)
        cdef int64_t k, bad = -1
        cdef int ok
        if values.shape[0] != self.places.shape[0]:
            raise ValueError(
                f"data must have {self.places.shape[0]} elements, not {values.shape[0]}")
        self.ready = False
        with nogil:
            for k in range(values.shape[0]):
                self.matrix_values[self.places[k]] = values[k]
            ok = cholmod_l_factorize(&self.matrix, self.factor, &self.common)
            if ok:
                bad = self._read_pivots()
        if not ok:
            self._raise("numeric factorization")
        if bad >= 0:
            return int(self.order[bad] + 1)
        self.ready = True
        return 0

    cdef int64_t _read_pivots(self) noexcept nogil:
        """Copy the diagonal of L to `pivots`; return the first column with a bad one, or -1."""
        cdef int64_t j, s, columns, rows, first = 0
        cdef double *block
        if self.factor.minor < self.factor.n:
            return <int64_t>self.factor.minor
        if not self.is_supernodal:
            for j in range(self.n):
                self.pivots[j] = (<double *>self.factor.x)[(<int64_t *>self.factor.p)[j]]
        else:
            for s in range(<int64_t>self.factor.nsuper):
                block, columns, rows = block_of(self.factor, s)
                for j in range(columns):
                    self.pivots[first + j] = block[j * (rows + 1)]
                first += columns
        # A NaN passes CHOLMOD's simplicial test for a positive pivot.
        for j in range(self.n):
            if not 0.0 < self.pivots[j] <= DBL_MAX:
                return j
        return -1

    def _require_ready(self):
        """Raise CholmodError when there is no factor."""
        if not self.ready:
            raise CholmodError(
                "there is no factor yet: call factorize with a positive definite matrix first")

    def logdet(self):
        """Return log|A| of the last values.

        Raises
        ------
        CholmodError
            There is no factor yet.
        """
        self._require_ready()
        return 2.0 * float(np.log(self.pivots).sum())

    def solve(self, B, system="A", out=None):
        """Solve with the factor or a part of it.

        Parameters
        ----------
        B : (n,) or (n, r) array
            Any strides; it is not written to.
        system : {"A", "L", "Lt", "P", "Pt"}
            A⁻¹B, L⁻¹B, L⁻ᵀB, PB or PᵀB. "L" and "Lt" take and return rows in the order of L.
        out : float64 array of B's shape, optional
            Receives the result; any strides, and it may be B itself.

        Returns
        -------
        array of B's shape
            `out`, or a new array with contiguous columns.

        Raises
        ------
        ValueError
            B or `out` has another shape, or the system is not one of these.
        CholmodError
            There is no factor yet.
        """
        if system not in _SYSTEMS:
            raise ValueError(f"system must be one of {', '.join(_SYSTEMS)}, not {system!r}")
        number, permute_in, permute_out = _SYSTEMS[system]
        return self._solve(B, number, permute_in, permute_out, out)

    def half_solve(self, B, out=None):
        """Return L⁻¹ P B; arguments and errors as in `solve`."""
        return self._solve(B, CHOLMOD_L, True, False, out)

    def half_solve_t(self, B, out=None):
        """Return Pᵀ L⁻ᵀ B; arguments and errors as in `solve`."""
        return self._solve(B, CHOLMOD_Lt, False, True, out)

    def _solve(self, B, int system, bint permute_in, bint permute_out, out):
        """Copy B to CHOLMOD's right-hand side, solve, and copy the result to `out`."""
        given = np.asarray(B, dtype=np.float64)
        if given.ndim not in (1, 2) or given.shape[0] != self.n:
            raise ValueError(
                f"B must have {self.n} rows and one or two dimensions, not shape {given.shape}")
        if out is None:
            out = np.empty(given.shape, order="F")
        elif not (isinstance(out, np.ndarray) and out.dtype == np.float64
                  and out.shape == given.shape):
            raise ValueError(f"out must be a float64 array of B's shape {given.shape}")
        cdef bint only_permute = system == _ONLY_PERMUTE
        if not only_permute:
            self._require_ready()
        cdef const double[:, :] b = given.reshape(self.n, -1) if given.ndim == 2 else given[:, None]
        cdef double[:, :] x = out if out.ndim == 2 else out[:, None]
        cdef int64_t r = b.shape[1]
        if r == 0:
            return out
        cdef cholmod_dense *result = cholmod_l_ensure_dense(
            &self.rhs, self.n, r, self.n, CHOLMOD_REAL, &self.common)
        if result == NULL:
            self._raise("solve")
        cdef double *column
        cdef int64_t c, k
        cdef int ok = 1
        with nogil:
            for c in range(r):
                column = <double *>self.rhs.x + c * self.n
                for k in range(self.n):
                    column[k] = b[self.order[k] if permute_in else k, c]
            if not only_permute:
                ok = cholmod_l_solve2(
                    system, self.factor, self.rhs, NULL, &self.answer, NULL, &self.work_y,
                    &self.work_e, &self.common)
                result = self.answer
            if ok:
                for c in range(r):
                    column = <double *>result.x + c * self.n
                    for k in range(self.n):
                        x[self.order[k] if permute_out else k, c] = column[k]
        if not ok:
            self._raise("solve")
        return out

    def factor_csc(self):
        """Copy L in compressed columns; a supernodal factor is expanded.

        Returns
        -------
        indptr : (n + 1,) int64
        indices : (m,) int64
        data : (m,) float64
            Explicit zeros of a supernodal factor included.

        Raises
        ------
        CholmodError
            There is no factor yet.
        """
        self._require_ready()
        sizes, rows, values = [], [], []
        cdef int64_t j, s = 0 if self.is_supernodal else -1, skip = 0, count
        cdef int64_t *row
        cdef double *value
        for j in range(self.n):
            if self.is_supernodal:
                s += j == (<int64_t *>self.factor.super)[s + 1]
                skip = j - (<int64_t *>self.factor.super)[s]
            row, value, count = column_of(self.factor, j, s)
            sizes.append(count - skip)
            rows.append(np.array(<int64_t[:count]> row)[skip:])
            values.append(np.array(<double[:count]> value)[skip:])
        return np.cumsum([0, *sizes]), np.concatenate(rows), np.concatenate(values)

    def selected_inverse(self, out=None):
        """Compute the entries of A⁻¹ on the pattern of A, in the order of `data`.

        By Takahashi's recurrence, which takes about the work of a factorization and the memory of
        L. The workspace is kept for the next call.

        Parameters
        ----------
        out : (nnz,) float64, optional

        Returns
        -------
        (nnz,) float64

        Raises
        ------
        ValueError
            `out` has another shape.
        CholmodError
            There is no factor yet, or a supernode has more rows than BLAS can count in 32 bits.
        """
        self._require_ready()
        cdef int64_t count = self.places.shape[0], failed
        if out is None:
            out = np.empty(count)
        cdef double[:] values = out
        if values.shape[0] != count:
            raise ValueError(f"out must have {count} elements, not {values.shape[0]}")
        if self.inverse is None:
            try:
                self.inverse = selected_inverse_of(
                    self.factor, self.is_supernodal, self.entries[0], self.entries[1])
            except OverflowError as error:
                raise CholmodError(f"selected inverse: {error}") from error
            self.entries = None           # needed once only
        with nogil:
            failed = self.inverse.compute(values)
        if failed:
            raise CholmodError(
                f"selected inverse: the diagonal block of supernode {failed - 1} is singular")
        return out


def _can(*pattern, **how):
    """Try whether this CHOLMOD can factor a pattern in some way."""
    try:
        Factor(*pattern, **how)
    except CholmodError:
        return False
    return True


@cache
def has_metis():
    """Return whether this CHOLMOD has METIS."""
    return _can(3, [0, 2, 4, 5], [0, 1, 1, 2, 2], orderings=("metis",), kind="simplicial")


@cache
def has_supernodal():
    """Return whether this CHOLMOD has its supernodal module."""
    return _can(1, [0, 1], [0], orderings=("natural",), kind="supernodal")
