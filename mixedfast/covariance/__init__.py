"""Covariance structures of random effects."""

from mixedfast._scipy_blas import scipy_blas

with scipy_blas():
    from mixedfast.covariance import _theta

__all__ = ["_theta"]
