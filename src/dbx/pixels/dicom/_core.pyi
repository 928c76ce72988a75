from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from numpy.typing import NDArray

class Rows:
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[Any, Any]: ...

class HeaderReader:
    def __init__(
        self,
        attributes: Sequence[tuple[int, str]],
        repeaters: Sequence[tuple[int, int, str]],
        private_attributes: Sequence[tuple[str, int, int, str]],
        columns: Sequence[tuple[int, str, str, bool]],
        charset: Callable[[bytes], tuple[str, list[int]]],
        decode: Callable[[bytes, bytes], str],
        inflate: Callable[[bytes], bytes],
    ) -> None: ...
    def read(
        self, sources: list[Any], bulk_threshold: int | None = None
    ) -> tuple[Rows, list[int], list[tuple[int, bytes]]]: ...

class ValueType(Enum):
    u1 = ...
    u2 = ...
    i2 = ...
    f4 = ...

def shrink(frame: NDArray[Any], window: tuple[float, float] | None, inverted: bool, size: tuple[int, int]) -> bytes: ...
def shrink_file(
    file: int,
    offset: int,
    rows: int,
    columns: int,
    samples: int,
    type: ValueType,  # noqa: A002 - the native name
    bits_stored: int,
    window: tuple[float, float] | None,
    inverted: bool,
    size: tuple[int, int],
) -> bytes: ...
