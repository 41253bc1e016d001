"""Kinds of numbers that the kernels read in place, and status codes (csrc/mf_types.h)."""

cdef extern from "mf_types.h" nogil:
    ctypedef enum mf_kind:
        MF_F64
        MF_F32
        MF_I64
        MF_I32
        MF_I16
        MF_I8
        MF_U8
        MF_CODED
    ctypedef enum mf_status:
        MF_OK
        MF_BAD_CODE
        MF_NO_MEMORY


cdef inline int kind_of(values) except? -1:
    """Return the mf_kind of an array's numbers, or -1 for a dtype that no kernel reads.

    Booleans are read as uint8. Numbers in the byte order of another machine have no kind.
    """
    dtype = values.dtype
    cdef str kind = dtype.kind
    cdef int size = dtype.itemsize
    if not dtype.isnative:
        return -1
    if kind == "f":
        return MF_F64 if size == 8 else MF_F32 if size == 4 else -1
    if kind == "i":
        return MF_I64 if size == 8 else MF_I32 if size == 4 else MF_I16 if size == 2 else MF_I8
    return MF_U8 if kind in "ub" and size == 1 else -1
