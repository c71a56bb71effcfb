"""Quantising by a native engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..kv.quantize_arguments import check_dequantize, check_quantize, check_spec
from ..providers.kv_quantize import KVQuantize

if TYPE_CHECKING:
    import torch

    from ..kv import QuantSpec
    from ..providers import Stream

__all__ = ["Quantizing"]

#: Specs that are kept resolved; the oldest goes first.
_MOST = 256


class Quantizing(KVQuantize):
    """A call enters C++ once, which sees for itself that the operands are right and apart from one
    another. Where it does not, the shared checks of core decide.
    """

    #: The native submodule ``quantize``.
    native_quantize: ClassVar[Any]
    #: Device types whose tensors these kernels reach.
    arithmetic_devices: ClassVar[tuple[str, ...]]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._specs: dict[QuantSpec, Any] = {}

    def quantize(
        self,
        x: torch.Tensor,
        codes: torch.Tensor,
        scales: torch.Tensor,
        offsets: torch.Tensor | None = None,
        *,
        spec: QuantSpec,
        stream: Stream | None = None,
    ) -> None:
        native = self._resolved(spec)
        if not native.quantize(x, codes, scales, offsets, stream, False):
            check_quantize(x, codes, scales, offsets, spec, self.arithmetic_devices)
            native.quantize(x, codes, scales, offsets, stream, True)

    def dequantize(
        self,
        codes: torch.Tensor,
        scales: torch.Tensor,
        offsets: torch.Tensor | None,
        out: torch.Tensor,
        *,
        spec: QuantSpec,
        stream: Stream | None = None,
    ) -> None:
        native = self._resolved(spec)
        if not native.dequantize(codes, scales, offsets, out, stream, False):
            check_dequantize(codes, scales, offsets, out, spec, self.arithmetic_devices)
            native.dequantize(codes, scales, offsets, out, stream, True)

    def _resolved(self, spec: QuantSpec) -> Any:
        try:
            return self._specs[spec]
        except KeyError:
            pass
        except TypeError:
            check_spec(spec)  # what cannot be hashed is none
            raise
        check_spec(spec)
        made = self._new_spec(
            spec.dtype, spec.axis, spec.group_size, spec.symmetric,
            spec.zero, spec.lowest, spec.highest, spec.steps,
        )  # fmt: skip
        while len(self._specs) >= _MOST:
            self._specs.pop(next(iter(self._specs)), None)
        self._specs[spec] = made
        return made

    def _new_spec(self, *arguments: Any) -> Any:
        """``Spec(*arguments)``; a backend that needs to know more overrides it."""
        return self.native_quantize.Spec(*arguments)

    def close(self) -> None:
        self._specs.clear()
        super().close()
