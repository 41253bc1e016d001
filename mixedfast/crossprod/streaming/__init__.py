"""Cross-products from data that are not in memory: batches of rows, and engines that add up for us."""

from mixedfast.crossprod.streaming.passes import Stream, stream_crossproducts
from mixedfast.crossprod.streaming.pushdown import EngineRows, push_down
from mixedfast.data.sources import is_stream

__all__ = ["EngineRows", "Stream", "is_stream", "push_down", "stream_crossproducts"]
