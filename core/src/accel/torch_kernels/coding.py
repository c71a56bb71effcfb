"""Entropy coding on the host: what a coder's short dependent steps are quicker at than a device.

Symbols, models and encoded data travel through pinned memory, and the coder (:mod:`.lane_coder`)
runs as a callback in the stream's order. The bytes are those of docs/kv-codec.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import DeviceError
from ..kv.codec_arguments import (
    check_apart,
    check_bins,
    check_encode_out,
    check_encoded,
    check_model,
    check_symbols,
)
from ..kv.codec_format import HEADER, Split
from ..kv.codec_values import (
    check_encoded_model,
    check_encoded_shape,
    check_frequencies_of,
    check_model_values,
    check_symbol_values,
    refuse_stream,
)
from ..providers.kv_coding import KVCoding
from .codec_checks import (
    build_container,
    checks_of_streams,
    cumulative,
    model_check,
    parse_container,
    units_of,
)
from .lane_coder import batches_of, decode_batch, encode_batch
from .queue import DeviceQueue, Queue

if TYPE_CHECKING:
    import torch

    from ..providers import Stream

__all__ = ["TorchCoding"]


class TorchCoding(KVCoding):
    """``entropy_model`` and ``decode`` are queued; ``encode`` waits, as it returns a size."""

    _queue: Queue

    def entropy_model(
        self,
        symbols: torch.Tensor,
        bins: int,
        *,
        exact: bool = False,
        stream: Stream | None = None,
    ) -> torch.Tensor:
        import torch

        queue = self._queue
        queue.check(stream)
        bins = check_bins(bins)
        symbols = self._here("symbols", check_symbols(symbols, (queue.device.type,)))
        shape = (symbols.shape[0], symbols.shape[2], bins + 1)
        if isinstance(queue, DeviceQueue):
            model = queue.empty(shape, torch.int16, stream)
        else:
            model = torch.empty(shape, dtype=torch.int16)

        def work(read: Sequence[torch.Tensor], written: torch.Tensor) -> None:
            written.copy_(_model_of(read[0], bins, exact))

        _through_host(queue, stream, [symbols], model, work)
        return model

    def encode(
        self,
        symbols: torch.Tensor,
        model: torch.Tensor,
        *,
        out: torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> torch.Tensor:
        queue = self._queue
        queue.check(stream)
        types = (queue.device.type,)
        symbols = self._here("symbols", check_symbols(symbols, types))
        model = check_model(model, symbols.shape[0], symbols.shape[2], types)
        model = self._here("model", model)
        if out is not None:
            out = check_encode_out(out, symbols.shape, types, {"symbols": symbols, "model": model})
            out = self._here("out", out)
        queue.wait(stream)
        data = _encoded(symbols.cpu(), model.cpu())
        if out is None:
            made = queue.upload(data, stream)
        else:
            made = out[: len(data)]
            if isinstance(queue, DeviceQueue):
                staged = queue.staging(data.shape, data.dtype)
                staged.copy_(data)
                queue.to_device_at(made, staged, stream)
            else:
                made.copy_(data)
        queue.wait(stream)
        return made

    def decode(
        self,
        data: torch.Tensor,
        model: torch.Tensor,
        out: torch.Tensor,
        *,
        stream: Stream | None = None,
    ) -> None:
        queue = self._queue
        queue.check(stream)
        types = (queue.device.type,)
        data = self._here("data", check_encoded(data, types))
        target = self._here("out", check_symbols(out, types, "out", written=True))
        model = check_model(model, target.shape[0], target.shape[2], types)
        model = self._here("model", model)
        check_apart(target, "out", {"data": data, "model": model})

        def work(read: Sequence[torch.Tensor], written: torch.Tensor) -> None:
            values = _decoded(read[0], read[1], written.shape)
            written.copy_(values)

        _through_host(queue, stream, [data, model], target, work)

    def _here(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device != self._queue.device:
            raise DeviceError(name, f"a tensor on {self._queue.device}", tensor.device)
        return tensor


def _through_host(
    queue: Queue,
    stream: Stream | None,
    read: list[torch.Tensor],
    written: torch.Tensor,
    work: Callable[[Sequence[torch.Tensor], torch.Tensor], None],
) -> None:
    """Run ``work`` on host copies, in the stream's order; if it raises, ``written`` stays."""
    if not isinstance(queue, DeviceQueue):
        queue.submit(stream, lambda: work(read, written), [*read, written])
        return
    copies = [queue.staging(t.shape, t.dtype) for t in (*read, written)]

    def pack() -> None:
        # What is there comes along, so that a failure leaves it as it was.
        packed.extend(t.contiguous() for t in (*read, written))

    packed: list[torch.Tensor] = []
    queue.submit(stream, pack, [*read, written])
    for copy, device in zip(copies, packed, strict=True):
        queue.to_host(copy, device, stream)
    queue.host_part(stream, lambda: work(copies[:-1], copies[-1]))
    if written.is_contiguous():
        if written.numel():
            queue.to_device_at(written, copies[-1], stream)
        return
    back = queue.to_device(copies[-1], stream)
    queue.submit(stream, lambda: written.copy_(back), [written, back])


def _model_of(symbols: torch.Tensor, bins: int, exact: bool) -> torch.Tensor:
    import torch

    check_symbol_values(symbols, bins)
    layers, tokens, channels = symbols.shape
    counts = torch.zeros(layers, channels, bins, dtype=torch.int64)
    for layer in range(layers):  # a layer at a time: the index takes eight times the symbols
        index = torch.arange(channels) * bins + symbols[layer].long()
        found = torch.bincount(index.flatten(), minlength=channels * bins)
        counts[layer] = found.view(channels, bins)
    return cumulative(counts, tokens, exact).to(torch.int16)


def _encoded(symbols: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    """The container of host symbols."""
    layers, tokens, channels = symbols.shape
    check_model_values(model)
    bins = model.shape[2] - 1
    check_symbol_values(symbols, bins)
    check_frequencies_of(symbols, model)
    split = Split.choose(layers, tokens, channels)
    wide, symbols = model.long().contiguous(), symbols.contiguous()
    made: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for stretch in batches_of(split):
        done = encode_batch(stretch, symbols, wide)
        made.update(zip(stretch.numbers, done, strict=True))
    streams = [made[i] for i in range(split.streams)]
    return build_container(bins, model_check(model), split, streams)


def _decoded(data: torch.Tensor, model: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The symbols of a container, all of them or an error."""
    import torch

    container = parse_container(data)
    split = container.header.split
    check_encoded_shape(container.header, shape)
    check_model_values(model)
    check_encoded_model(container.header, model.shape[2] - 1, model_check(model))
    units = units_of(data) if len(data) > HEADER.size else torch.zeros(0, dtype=torch.int64)
    ranges = [(begin // 4, end // 4) for begin, end in container.ranges]
    for i, check in enumerate(checks_of_streams(units, ranges)):
        if check != container.checks[i]:
            refuse_stream(i, "a wrong check")
    values = torch.zeros(*shape, dtype=torch.uint8)
    wide = model.long().contiguous()
    wrong: list[tuple[int, str]] = []
    for stretch in batches_of(split):
        of_stretch = [ranges[n] for n in stretch.numbers]
        wrong += decode_batch(stretch, units, of_stretch, wide, values)
    if wrong:
        refuse_stream(*min(wrong))
    return values
