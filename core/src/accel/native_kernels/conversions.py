"""Writes of codes and conversions of caches by a native engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..kv.convert import check_conversion, conversion_scales, plan_convert
from ..kv.quantized_write import plan_quantized_write
from ..providers import KVConvert
from .prepared import Prepared

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from ..providers import Stream

__all__ = ["Conversions"]


class Conversions(Prepared, KVConvert):
    """``convert``, and ``write`` with scales.

    As for transfers, a call looks up what was prepared and enters C++ once.
    """

    #: Device types whose caches these kernels reach.
    arithmetic_devices: ClassVar[tuple[str, ...]]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # By pair of caches, then by whether either side's heads have scales of their own.
        self._converters: dict[tuple[int, int], dict[tuple[bool, bool], Any]] = {}
        # A backend may prepare writers of their own for codes.
        self._code_writers = self._writers
        self._write_codes = self.native.write_quantized
        self._convert = self.native.convert

    def _write_quantized(
        self,
        cache: KVCache,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor | None,
        slots: torch.Tensor,
        key_scale: float | torch.Tensor | None,
        value_scale: float | torch.Tensor | None,
        stream: Stream | None,
    ) -> None:
        """``write`` with scales."""
        try:
            writer = self._code_writers[cache.uid]
            if self._write_codes(
                writer, cache, layer, key, value, slots, key_scale, value_scale, stream
            ):
                return
        except (KeyError, AttributeError):
            writer = self._prepare_code_writer(cache)
        except TypeError:
            if isinstance(layer, int):
                raise
        # Tensors of a new shape, other numbers than floats, or wrong ones: the plan knows.
        made, scales = plan_quantized_write(cache, layer, key, value, key_scale, value_scale)
        planes = made.plan.planes
        writer.add_quantized(
            key,
            value,
            made.plan.pack(),
            list(made.target),
            [p.src_dtype for p in planes],
            [p.dst_dtype for p in planes],
            [s.per_head for s in scales],
        )
        ours, theirs = _plain(key_scale), _plain(value_scale)
        if not self._write_codes(writer, cache, layer, key, value, slots, ours, theirs, stream):
            raise AssertionError("the plan just made does not fit its own tensors")

    def convert(
        self,
        src: KVCache,
        dst: KVCache,
        *,
        src_scale: float | torch.Tensor | None = None,
        dst_scale: float | torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        try:
            of_pair = self._converters[src.uid, dst.uid]
        except (KeyError, AttributeError):
            check_conversion(src, dst, self.arithmetic_devices)
            of_pair = {}
            self._keep(self._converters, (src.uid, dst.uid), of_pair)
        ours, theirs = conversion_scales(src, dst, src_scale, dst_scale)
        apart = (ours is not None and ours.per_head, theirs is not None and theirs.per_head)
        converter = of_pair.get(apart)
        if converter is None:
            plan = plan_convert(src, dst, ours, theirs)
            converter = of_pair[apart] = self._new_converter(
                src,
                plan.pack(),
                [p.src_dtype for p in plan.planes],
                [p.dst_dtype for p in plan.planes],
                list(src.pointers),
                list(dst.pointers),
                list(src.tensor_pointers),
                list(dst.tensor_pointers),
                plan.units,
            )
        self._convert(
            converter,
            src,
            dst,
            None if ours is None else ours.values,
            apart[0],
            None if theirs is None else theirs.values,
            apart[1],
            stream,
        )

    def _prepare_code_writer(self, cache: KVCache) -> Any:
        return self._prepare_writer(cache)

    def _new_converter(self, src: KVCache, *arguments: Any) -> Any:
        """``Converter(*arguments)``; a backend that needs to know more overrides it."""
        return self.native.Converter(*arguments)

    def close(self) -> None:
        self._converters.clear()
        self._code_writers.clear()
        super().close()


def _plain(scale: Any) -> Any:
    """As the native part takes it: a tensor or None as it is, any number as a float."""
    import torch

    return scale if scale is None or isinstance(scale, torch.Tensor) else float(scale)
