"""What the loop over a pipeline gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Layer"]


class Layer:
    """One layer on the device, until the loop asks for the next one.

    Attributes:
        index: its place in ``layers``.
        tensors: contiguous device tensors of the host tensors' shapes and dtypes, in the form in
            which the layer was given: a tensor, a tuple, or a dict. To be used by work on the
            pass's stream; the memory is another layer's afterwards.
    """

    __slots__ = ("_release", "index", "tensors")

    def __init__(self, index: int, tensors: Any, release: Callable[[int], None]) -> None:
        self.index = index
        self.tensors = tensors
        self._release = release

    def release(self) -> None:
        """Done with the tensors before the end of the loop's body, or before a ``break``.

        From this point of the stream on the slot is free, and with ``write_back=True`` the layer is
        copied back; asking for the next layer does the same. A second call does nothing.

        Raises:
            StateError: the loop has gone on to another layer, or the pass is over.
        """
        self._release(self.index)

    def __repr__(self) -> str:
        return f"<accel pipeline layer {self.index}>"
