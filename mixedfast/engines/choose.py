"""Which engine factors a model, by its structure alone."""

from __future__ import annotations

from mixedfast.crossprod import CrossProducts
from mixedfast.engines.block import BlockEngine

__all__ = ["choose"]


def choose(cp: CrossProducts, wanted: str = "auto"):  # provisional signature, completed with the sparse engine
    return BlockEngine(cp)
