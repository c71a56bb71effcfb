"""The arithmetic KV kernels of the device: quantising, keys at other positions, conversions.

Kernels are compiled for the dtypes, codes and widths of loads that a call needs, when it first
needs them; the native part asks for them here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from accel.capabilities import Capability, Level
from accel.kv import KVCache
from accel.kv.rope_arguments import check_positions
from accel.native_kernels.conversions import Conversions
from accel.native_kernels.quantize import Quantizing
from accel.native_kernels.rope import Rotating

from . import _native, kernels

if TYPE_CHECKING:
    import torch

    from accel.kv import Rope
    from accel.providers import Stream

__all__ = ["ARITHMETIC", "CudaArithmetic"]

#: What this adds to the capabilities.
ARITHMETIC = {
    Capability.KV_QUANTIZE: Level.NATIVE,
    Capability.KV_ROPE: Level.NATIVE,
    Capability.KV_WRITE_QUANTIZED: Level.NATIVE,
    Capability.KV_CONVERT: Level.NATIVE,
}


def _usual_kernels() -> Iterator[tuple[str, tuple[str, ...], dict[str, object]]]:
    """What calls on half-precision tensors in whole vectors need: loaded with the backend."""
    # Number kinds: kernels/number_kinds.h.
    f32, f16, bf16, e4m3, e5m2, i8, u8, i4 = range(8)
    for value in (bf16, f16, f32):
        for interleaved in (0, 1):
            defines = {"ACCEL_VALUE": value, "ACCEL_INTERLEAVED": interleaved, "ACCEL_VECTOR": 16}
            yield "rope.cu", ("rope_reposition",), dict(defines)
        for code in (e4m3, e5m2, i8):
            for given, wanted, vector in ((value, code, 32), (code, value, 16)):
                defines = {"ACCEL_FROM": given, "ACCEL_TO": wanted, "ACCEL_VECTOR": vector}
                yield "convert.cu", ("convert_elements",), dict(defines)
    for code, shifted in ((i8, 0), (i8, 1), (u8, 0), (u8, 1), (i4, 0), (i4, 1), (e4m3, 0)):
        kinds = {"ACCEL_VALUE": bf16, "ACCEL_CODE": code, "ACCEL_SHIFTED": shifted}
        defines = {**kinds, "ACCEL_VECTOR": 16}
        rows = tuple(f"quantize_rows_{held}" for held in ("1", "2", "4", "short", "block"))
        yield "quantize_rows.cu", rows, dict(defines)
        yield "dequantize.cu", ("dequantize_rows", "dequantize_columns"), dict(defines)
        yield "quantize_columns.cu", ("quantize_columns",), dict(defines)


class CudaArithmetic(Conversions, Quantizing, Rotating):
    """Every value is read once and written once, but for scales of channels over more tokens than
    shared memory holds: those values are read twice, the second time from the cache.
    """

    native = _native.kv
    native_quantize = _native.quantize
    native_rope = _native.rope
    arithmetic_devices: ClassVar[tuple[str, ...]] = ("cuda",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tools = _native.ArithmeticTools(kernels.function)
        if arguments:
            index = arguments[0].device.index or 0
            self._tools.prepare(index)
            for file, names, defines in _usual_kernels():
                kernels.load_if_built(index, file, names, defines)
        self._code_writers = {}
        self._reads_back = os.environ.get("ACCEL_CHECK_DEVICE_SLOTS", "") not in ("", "0")

    def rope_reposition(
        self,
        keys: torch.Tensor | KVCache,
        old_positions: torch.Tensor,
        new_positions: torch.Tensor,
        rope: Rope,
        *,
        slots: torch.Tensor | None = None,
        layer: int | None = None,
        stream: Stream | None = None,
    ) -> None:
        if self._reads_back and getattr(old_positions, "is_cuda", False):
            units = keys.slots if isinstance(keys, KVCache) else 0
            given = (old_positions, new_positions, slots)
            old, new, where = (None if t is None else t.cpu() for t in given)
            if old is not None and new is not None:
                check_positions(old, new, rope, where, units)
        super().rope_reposition(
            keys, old_positions, new_positions, rope, slots=slots, layer=layer, stream=stream
        )

    def _new_spec(self, *arguments: Any) -> Any:
        return self.native_quantize.Spec(self._tools, *arguments)

    def _new_rotation(self, *arguments: Any) -> Any:
        return self.native_rope.Rotation(self._tools, *arguments)

    def _new_key_cache(self, cache: KVCache, *arguments: Any) -> Any:
        return self.native_rope.KeyCache(self._tools, _index(cache), *arguments)

    def _new_converter(self, src: KVCache, *arguments: Any) -> Any:
        return self.native.Converter(self._tools, _index(src), *arguments)

    def _prepare_code_writer(self, cache: KVCache) -> Any:
        arguments = self._writer_arguments(cache, self.arithmetic_devices)
        writer = self.native.CodeWriter(self._tools, _index(cache), *arguments)
        self._keep(self._code_writers, cache.uid, writer)
        return writer


def _index(cache: KVCache) -> int:
    return cache.device.index or 0
