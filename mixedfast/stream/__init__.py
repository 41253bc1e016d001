"""Cross-products from data that are not in memory: batches of rows, and engines that add up for us."""

from mixedfast.stream.passes import Stream, stream_crossproducts
from mixedfast.stream.pushdown import EngineRows, push_down
from mixedfast.stream.sources import is_stream

__all__ = ["EngineRows", "Stream", "is_stream", "push_down", "stream_crossproducts"]
