"""Errors of a vendor's runtime library, where accel has no class that says more."""

from __future__ import annotations

from ..errors import AccelError

__all__ = ["RuntimeCallError"]


class RuntimeCallError(AccelError, RuntimeError):
    """A call into the vendor's runtime library failed.

    Attributes:
        call: the library's function, as ``aclrtMemcpyAsync``.
        code: the number it returned.
    """

    def __init__(self, message: str, call: str, code: int, cure: str = "") -> None:
        self.call = call
        self.code = code
        self.cure = cure
        self._message = message
        super().__init__(f"{message}. Cure: {cure}" if cure else message)

    def __reduce__(self) -> tuple[type[RuntimeCallError], tuple[str, str, int, str]]:
        return type(self), (self._message, self.call, self.code, self.cure)
