from collections.abc import Callable
from threading import Lock, RLock
from typing import TypeVar

_T = TypeVar("_T")

def holding(lock: Lock | RLock, work: Callable[[], _T]) -> _T: ...
