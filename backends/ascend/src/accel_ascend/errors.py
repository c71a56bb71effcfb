"""Errors of ACL. Where accel has a class that says more, a call raises that one instead."""

from __future__ import annotations

from accel.errors import AccelError, AsyncError

__all__ = ["AclError", "DeviceFailedError"]


class AclError(AccelError, RuntimeError):
    """A call into ACL failed.

    Attributes:
        call: ACL's function, as ``aclrtMemcpyAsync``.
        code: the number it returned.
    """

    def __init__(self, message: str, call: str, code: int, cure: str = "") -> None:
        self.call = call
        self.code = code
        self.cure = cure
        self._message = message
        super().__init__(f"{message}. Cure: {cure}" if cure else message)

    def __reduce__(self) -> tuple[type[AclError], tuple[str, str, int, str]]:
        return type(self), (self._message, self.call, self.code, self.cure)


class DeviceFailedError(AclError, AsyncError):
    """Work that the device was given earlier failed: an operator, a copy, or the device itself."""
