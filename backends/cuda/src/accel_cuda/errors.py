"""Errors of the driver. Where accel has a class that says more, a call raises that one instead."""

from __future__ import annotations

from accel.errors import AccelError, AsyncError

__all__ = ["ContextLostError", "DriverError"]


class DriverError(AccelError, RuntimeError):
    """A call into the driver failed.

    Attributes:
        call: the driver's function, as ``cuEventRecord``.
        code: the number it returned.
        name: the driver's name for it, as ``CUDA_ERROR_INVALID_VALUE``.
    """

    def __init__(self, message: str, call: str, code: int, name: str, cure: str = "") -> None:
        self.call = call
        self.code = code
        self.name = name
        self.cure = cure
        self._message = message
        super().__init__(f"{message}. Cure: {cure}" if cure else message)

    def __reduce__(self) -> tuple[type[DriverError], tuple[str, str, int, str, str]]:
        return type(self), (self._message, self.call, self.code, self.name, self.cure)


class ContextLostError(DriverError, AsyncError):
    """A kernel of this process did something the device cannot recover from, as touching memory
    that is not there: the context and all its memory are lost until the process is restarted."""
