"""Defects of entropy coders."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import torch

import accel
from accel.errors import ArgumentError, CodecError, SizeError
from accel.kv import encode_bound
from accel_conformance import codec_expected
from accel_conformance.codec_expected import HEADER, check_of, pull, words_of

from .defect import Defect
from .wrapping import WrappedKV, raw

__all__ = ["DEFECTS"]

Call = Callable[..., Any]


def _kernels(name: str, call: Call) -> Any:
    return type("BrokenCoding", (WrappedKV,), {name: call})


def _model(change: Call) -> Any:
    """``change(good, symbols, bins, exact, stream)`` in place of ``entropy_model``."""

    def entropy_model(
        self: Any, symbols: Any, bins: Any, *, exact: bool = False, stream: Any = None
    ) -> Any:
        return change(self.inner.entropy_model, symbols, bins, exact, raw(stream))

    return _kernels("entropy_model", entropy_model)


def _encode(change: Call) -> Any:
    """``change(good, symbols, model, out, stream)`` in place of ``encode``."""

    def encode(self: Any, symbols: Any, model: Any, *, out: Any = None, stream: Any = None) -> Any:
        return change(self.inner.encode, symbols, model, out, raw(stream))

    return _kernels("encode", encode)


def _decode(change: Call) -> Any:
    """``change(good, data, model, out, stream)`` in place of ``decode``."""

    def decode(self: Any, data: Any, model: Any, out: Any, *, stream: Any = None) -> None:
        change(self.inner.decode, data, model, out, raw(stream))

    return _kernels("decode", decode)


# --- models ---------------------------------------------------------------------------------------


def _rounded(good: Call, symbols: Any, bins: Any, exact: Any, stream: Any) -> Any:
    """Shares rounded to the nearest, not down."""
    good(symbols, bins, exact=exact, stream=stream)
    s = pull(symbols)
    if stream is not None or s.size == 0 or exact:
        return good(symbols, bins, exact=exact, stream=stream)
    starts = codec_expected.model_of(s, bins)
    starts[..., 1:-1] += (starts[..., 2:] - starts[..., 1:-1] > 1) * (bins % 2)
    return torch.from_numpy(starts.astype("int16"))


def _signed(good: Call, symbols: Any, bins: Any, exact: Any, stream: Any) -> Any:
    """int8 symbols from -128 up."""
    if getattr(symbols, "dtype", None) == torch.int8:
        symbols = (symbols.short() + 128).to(torch.uint8)
    return good(symbols, bins, exact=exact, stream=stream)


def _not_of_nothing(good: Call, symbols: Any, bins: Any, exact: Any, stream: Any) -> Any:
    if isinstance(symbols, torch.Tensor) and symbols.dim() == 3 and symbols.shape[1] == 0:
        raise ArgumentError("symbols", "tokens", "none")
    return good(symbols, bins, exact=exact, stream=stream)


def _at_the_call(good: Call, symbols: Any, bins: Any, exact: Any, stream: Any) -> Any:
    return good(symbols, bins, exact=exact, stream=accel.get_backend("cpu").streams.default())


def _dense(t: torch.Tensor) -> torch.Tensor:
    """As if it were contiguous, where there is memory for that."""
    room = t.untyped_storage().nbytes() // t.element_size() - t.storage_offset()
    if t.dim() != 3 or t.device.type != "cpu" or t.numel() > room:
        return t
    return t.as_strided(t.shape, (t.shape[1] * t.shape[2], t.shape[2], 1))


def _strides_lost(good: Call, symbols: Any, bins: Any, exact: Any, stream: Any) -> Any:
    symbols = _dense(symbols) if isinstance(symbols, torch.Tensor) else symbols
    return good(symbols, bins, exact=exact, stream=stream)


# --- encoding -------------------------------------------------------------------------------------


def _one_chunk(good: Call, symbols: Any, model: Any, out: Any, stream: Any) -> Any:
    """All tokens of a layer in one chunk, whatever their number."""
    data = good(symbols, model, out=out, stream=stream)
    if symbols.shape[1] <= 2048 or symbols.numel() == 0:
        return data
    made = codec_expected.encode(pull(symbols), pull(model), (1, 1))
    return torch.frombuffer(bytearray(made), dtype=torch.uint8)


def _clamped(good: Call, symbols: Any, model: Any, out: Any, stream: Any) -> Any:
    try:
        return good(symbols, model, out=out, stream=stream)
    except ArgumentError as error:
        if "symbols below" not in error.expected:
            raise
        return good(symbols.clamp(max=model.shape[2] - 2), model, out=out, stream=stream)


def _nearest_symbol(good: Call, symbols: Any, model: Any, out: Any, stream: Any) -> Any:
    """Symbols without a frequency become others, as in a coder that does not look."""
    try:
        return good(symbols, model, out=out, stream=stream)
    except ArgumentError as error:
        if "frequency" not in error.expected:
            raise
        widths = model.long().diff(dim=-1)
        has = widths.transpose(1, 2).gather(1, symbols.long()) > 0
        most = widths.argmax(-1)[:, None].expand(symbols.shape).to(torch.uint8)
        return good(torch.where(has, symbols, most), model, out=out, stream=stream)


def _truncating(good: Call, symbols: Any, model: Any, out: Any, stream: Any) -> Any:
    """What does not fit into the output is cut off."""
    try:
        return good(symbols, model, out=out, stream=stream)
    except SizeError:
        data = good(symbols, model, stream=stream)[: out.numel()]
        out[: len(data)] = data
        return out[: len(data)]


def _out_unused(good: Call, symbols: Any, model: Any, out: Any, stream: Any) -> Any:
    data = good(symbols, model, out=out, stream=stream)
    return data if out is None else data.clone()


def _behind_the_result(good: Call, symbols: Any, model: Any, out: Any, stream: Any) -> Any:
    """Scratch behind the result."""
    data = good(symbols, model, out=out, stream=stream)
    if out is not None:
        out[len(data) : encode_bound(symbols.shape)] = 0
    return data


def _encodes_too_early(good: Call, symbols: Any, model: Any, out: Any, stream: Any) -> Any:
    default = accel.get_backend("cpu").streams.default()
    return good(symbols, model, out=out, stream=default if stream is not None else None)


# --- decoding -------------------------------------------------------------------------------------


def _again(
    good: Call, data: Any, model: Any, out: Any, stream: Any, mended: Callable[[bytes], bytes]
) -> None:
    """Decodes ``mended(data)`` where ``data`` is refused; what this refuses too stays refused."""
    try:
        good(data, model, out, stream=stream)
    except CodecError:
        made = mended(bytes(data.tolist()))
        other = torch.frombuffer(bytearray(made), dtype=torch.uint8)
        good(other, model, out, stream=stream)


def _with_checks(raw_bytes: bytes, model_check: int | None = None) -> bytes:
    """The checks of header, directory and streams made right."""
    if len(raw_bytes) < HEADER.size:
        return raw_bytes or b"\0"
    data = bytearray(raw_bytes)
    layers, chunks, groups = struct.unpack("<Q16xII", data[16:48])
    streams = layers * chunks * groups
    payload = 64 + 8 * streams
    if streams > 64 or payload > len(data):
        return raw_bytes
    starts = [struct.unpack_from("<I", data, 64 + 8 * i)[0] * 4 for i in range(streams)]
    ends = [*starts[1:], len(data) - payload]
    for i, (begin, end) in enumerate(zip(starts, ends, strict=True)):
        units = words_of(data[payload + begin : payload + end])
        struct.pack_into("<I", data, 68 + 8 * i, check_of(units, 16 + i))
    if model_check is not None:
        struct.pack_into("<I", data, 12, model_check)
    struct.pack_into("<I", data, 56, check_of(words_of(data[64:payload]), 2))
    struct.pack_into("<I", data, 60, check_of(words_of(data[:60]), 1))
    return bytes(data)


def _checks_ignored(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    def mended(raw_bytes: bytes) -> bytes:
        return _with_checks(raw_bytes) if len(raw_bytes) % 4 == 0 else raw_bytes

    _again(good, data, model, out, stream, mended)


def _stream_numbers_ignored(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    """Takes a stream whose check is that of the stream before."""

    def mended(raw_bytes: bytes) -> bytes:
        if len(raw_bytes) % 4 or len(raw_bytes) < 80 or raw_bytes[68:72] != raw_bytes[76:80]:
            return raw_bytes or b"\0"
        return _with_checks(raw_bytes)

    _again(good, data, model, out, stream, mended)


def _any_model(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    """The check of the model is not looked at, and what its streams then say neither."""

    def mended(raw_bytes: bytes) -> bytes:
        return _with_checks(raw_bytes, check_of(pull(model).reshape(-1), 3))

    try:
        _again(good, data, model, out, stream, mended)
    except CodecError as error:
        if "in stream" not in error.given:
            raise


def _surplus_ignored(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    def mended(raw_bytes: bytes) -> bytes:
        size = struct.unpack_from("<Q", raw_bytes, 48)[0] if len(raw_bytes) >= 64 else 0
        return raw_bytes[:size] if 64 <= size <= len(raw_bytes) else raw_bytes or b"\0"

    _again(good, data, model, out, stream, mended)


def _ends_unchecked(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    """How lanes end is not looked at."""
    try:
        good(data, model, out, stream=stream)
    except CodecError as error:
        if "end where it began" not in error.given:
            raise


def _own_split_only(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    """Chunks and groups are taken to be those that encoders choose."""
    held = bytes(data.tolist()) if isinstance(data, torch.Tensor) else b""
    good(data, model, out, stream=stream)
    if held and out.numel():
        split = codec_expected.Container(held).split
        own = codec_expected.encode(pull(out), pull(model))
        if split != codec_expected.Container(own).split:
            out.zero_()


def _written_first(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    """The output is cleared before the data is looked at."""
    try:
        good(data, model, out, stream=stream)
    except CodecError:
        out.zero_()
        raise


def _whole_rows(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    """Partial rows of 32 channels are written whole."""
    good(data, model, out, stream=stream)
    if isinstance(out, torch.Tensor) and out.dim() == 3 and out.stride(1) > out.shape[2] > 0:
        end = out.as_strided((1,), (1,), out.storage_offset() + out.shape[2])
        if out.shape[2] % 32:
            end.bitwise_xor_(1)


def _decodes_too_early(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    if stream is None:
        good(data, model, out)
        return
    try:
        good(data, model, out, stream=accel.get_backend("cpu").streams.default())
    except CodecError:
        out.zero_()


def _plain_error(good: Call, data: Any, model: Any, out: Any, stream: Any) -> None:
    try:
        good(data, model, out, stream=stream)
    except CodecError as error:
        raise RuntimeError(str(error)) from None


DEFECTS = (
    Defect(
        "model-rounded", ("L2-kv::entropy_bins[5-loose]", "L2-kv::entropy_bins[33-loose]"),
        kv=_model(_rounded),
    ),
    Defect(
        "model-always-exact", ("L2-kv::entropy_bins[32-loose]",),
        kv=_model(lambda good, s, bins, exact, stream: good(s, bins, exact=True, stream=stream)),
    ),
    Defect(
        "model-never-exact",
        ("L2-kv::entropy_bins[32-exact]", "L2-kv::entropy_symbol_without_frequency"),
        kv=_model(lambda good, s, bins, exact, stream: good(s, bins, stream=stream)),
    ),
    Defect("model-signed", ("L2-kv::entropy_int8",), kv=_model(_signed)),
    Defect("model-not-of-nothing", ("L2-kv::entropy_of_nothing[*]",), kv=_model(_not_of_nothing)),
    Defect("model-at-the-call", ("L2-kv::entropy_models_in_order[*]",), kv=_model(_at_the_call)),
    Defect("model-strides-lost", ("L2-kv::entropy_strided_symbols",), kv=_model(_strides_lost)),
    Defect("encode-one-chunk", ("L2-kv::entropy_chunks[2x2049x2]",), kv=_encode(_one_chunk)),
    Defect("encode-clamps", ("L2-kv::entropy_symbol_outside",), kv=_encode(_clamped)),
    Defect(
        "encode-other-symbol", ("L2-kv::entropy_symbol_without_frequency",),
        kv=_encode(_nearest_symbol),
    ),
    Defect(
        "encode-truncates", ("L2-kv::entropy_arguments[out-t*]",), kv=_encode(_truncating)
    ),
    Defect("encode-leaves-out", ("L2-kv::entropy_given_output",), kv=_encode(_out_unused)),
    Defect("encode-scratch", ("L2-kv::entropy_given_output",), kv=_encode(_behind_the_result)),
    Defect(
        "encode-too-early", ("L2-kv::entropy_encodes_in_order",), kv=_encode(_encodes_too_early)
    ),
    Defect("decode-unchecked", ("L2-kv::entropy_changed_bits",), kv=_decode(_checks_ignored)),
    Defect(
        "decode-streams-exchanged", ("L2-kv::entropy_moved_bytes",),
        kv=_decode(_stream_numbers_ignored),
    ),
    Defect("decode-any-model", ("L2-kv::entropy_other_model",), kv=_decode(_any_model)),
    Defect("decode-surplus", ("L2-kv::entropy_too_long[*]",), kv=_decode(_surplus_ignored)),
    Defect(
        "decode-ends-unchecked", ("L2-kv::entropy_lane_ends",),
        kv=_decode(_ends_unchecked),
    ),
    Defect("decode-own-split", ("L2-kv::entropy_other_splits[7x3]",), kv=_decode(_own_split_only)),
    Defect(
        "decode-writes-first",
        ("L2-kv::entropy_changed_bits", "L2-kv::entropy_truncated[100]", "L2-kv::entropy_foreign"),
        kv=_decode(_written_first),
    ),
    Defect("decode-whole-rows", ("L2-kv::entropy_strided_output[40]",), kv=_decode(_whole_rows)),
    Defect(
        "decode-too-early", ("L2-kv::entropy_decodes_in_order",), kv=_decode(_decodes_too_early)
    ),
    Defect("decode-plain-error", ("L2-kv::entropy_headers[*]",), kv=_decode(_plain_error)),
)  # fmt: skip
