"""Cross-products of data that are not in memory: batches of rows, and engines that sum by group."""

from mixedfast.crossprod.streaming.lazy_rows import LazyRows
from mixedfast.crossprod.streaming.passes import stream_crossproducts
from mixedfast.crossprod.streaming.pushdown import push_down
from mixedfast.crossprod.streaming.stream import Stream
from mixedfast.data.sources import is_stream

__all__ = ["LazyRows", "Stream", "is_stream", "push_down", "stream_crossproducts"]
