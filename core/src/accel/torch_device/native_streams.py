"""torch's streams with what a plugin's native module adds to them.

A call into the vendor's runtime takes its handle from :meth:`TorchStream.submit_handle`, which is
behind all that torch was given for the stream. Work that torch is given later comes later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..capabilities import Capabilities, Capability, Level
from .streams import TorchStream, TorchStreams

if TYPE_CHECKING:
    from collections.abc import Callable

    from .vendor import TorchVendor

__all__ = ["NativeStreams"]


class NativeStreams(TorchStreams):
    """Host callbacks where the runtime has them, and operands kept until their work has run."""

    #: The plugin's native module (``accel/torch_device/bind_streams.hpp``).
    native: ClassVar[Any]

    def __init__(
        self, vendor: TorchVendor, index: int, priorities: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__(vendor, index, priorities)
        if self.native.has_host_functions():
            levels = dict(self.capabilities.items())
            levels[Capability.STREAM_CALLBACK] = Level.NATIVE
            self.capabilities = Capabilities(levels)
            self.launch_host_function = self._launch

    def given(self, stream: TorchStream | None) -> Any:
        return self.native.given(self.index, None if stream is None else stream.handle)

    def passed(self, given: Any) -> None:
        self.native.passed(self.index, given)

    def _launch(self, stream: TorchStream, run: Callable[[], None]) -> None:
        self.native.launch_host_function(stream.index, stream.submit_handle(), run)
