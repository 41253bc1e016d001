"""How many threads BLAS has."""

from __future__ import annotations

from mixedfast.engines.threads import controller


def blas_threads():
    """Of the libraries that were there when we first looked."""
    return [
        library["num_threads"] for library in controller().info() if library["user_api"] == "blas"
    ]
