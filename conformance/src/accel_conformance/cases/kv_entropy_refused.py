"""Models, symbols and tensors that entropy coders refuse, with every byte left as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from accel import ArgumentError, Capability
from accel.errors import (
    CodecError,
    DeviceError,
    DTypeError,
    FreedError,
    OverlapError,
    ShapeError,
    SizeError,
)
from accel.kv import encode_bound
from accel_conformance.case import case
from accel_conformance.codec_work import Codec, Encoded, codec_work

codec = codec_work

ENTROPY = [Capability.KV_ENTROPY]


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 1),
        (Encoded.bins, 16383),
        (Encoded.bins, -16384),
        (5, 16385),
        (5, -1),
        (Encoded.bins - 1, -1),
    ],
)
def test_entropy_no_model(codec: Codec, at: int, value: int) -> None:
    """Numbers that do not rise from 0 to 16384 are refused, the channel named."""
    encoded = Encoded(codec)
    encoded.model[1, 7, at] = value
    out = codec.guarded(encode_bound(Encoded.shape))
    for call, watched in (
        (lambda: codec.kv.encode(encoded.symbols, encoded.model, out=out), out),
        (lambda: codec.kv.decode(encoded.data, encoded.model, encoded.out), encoded.out),
    ):
        error = codec.refused(CodecError, "model", call, watched)
        assert "layer 1, channel 7" in str(error), str(error)


@case(level=2, needs=ENTROPY)
def test_entropy_symbol_outside(codec: Codec) -> None:
    """A symbol that is not below the bins is named, and nothing is written."""
    encoded = Encoded(codec)
    out = codec.guarded(encode_bound(Encoded.shape))
    for at, value in (((0, 0, 0), 16), ((1, 49, 39), 16), ((1, 3, 33), 255)):
        symbols = codec.put(encoded.host)
        symbols[at] = value
        calls: list[Callable[[], object]] = [
            partial(codec.kv.encode, symbols, encoded.model, out=out),
            partial(codec.kv.entropy_model, symbols, Encoded.bins),
        ]
        for call in calls:
            error = codec.refused(ArgumentError, "symbols", call, out)
            assert str(list(at)) in str(error) and str(value) in str(error), str(error)


@case(level=2, needs=ENTROPY)
def test_entropy_symbol_without_frequency(codec: Codec) -> None:
    """An exact model refuses symbols that it was not made from, in their channel."""
    encoded = Encoded(codec)
    exact = codec.model(encoded.symbols, Encoded.bins, exact=True)
    out = codec.guarded(encode_bound(Encoded.shape))
    codec.encode(encoded.symbols, exact)
    for at in ((0, 0, 0), (1, 49, 39), (0, 49, 2)):
        symbols = codec.put(encoded.host)
        symbols[at] = Encoded.bins - 1  # symbols were drawn below Encoded.bins - 2
        error = codec.refused(
            ArgumentError,
            "symbols",
            partial(codec.kv.encode, symbols, exact, out=out),
            out,
        )
        assert str(list(at)) in str(error), str(error)


Call = Callable[[Any, Any, torch.Tensor], object]

#: What is wrong -> the errors allowed, the argument, and the call, given an ``out`` for encode.
ARGUMENTS: dict[str, tuple[Any, str, Call]] = {
    "no-bins": (ArgumentError, "bins", lambda c, e, o: c.kv.entropy_model(e.symbols, 0)),
    "bins-257": (ArgumentError, "bins", lambda c, e, o: c.kv.entropy_model(e.symbols, 257)),
    "bins-negative": (ArgumentError, "bins", lambda c, e, o: c.kv.entropy_model(e.symbols, -1)),
    "bins-float": (DTypeError, "bins", lambda c, e, o: c.kv.entropy_model(e.symbols, 16.0)),
    "symbols-float": (
        DTypeError, "symbols", lambda c, e, o: c.kv.entropy_model(e.symbols.float(), 16)
    ),
    "symbols-list": (DTypeError, "symbols", lambda c, e, o: c.kv.entropy_model([1], 16)),
    "symbols-two-axes": (
        ShapeError, "symbols", lambda c, e, o: c.kv.entropy_model(e.symbols[0], 16)
    ),
    "symbols-on-meta": (
        DeviceError, "symbols", lambda c, e, o: c.kv.entropy_model(e.symbols.to("meta"), 16)
    ),
    "symbols-int16": (
        DTypeError, "symbols", lambda c, e, o: c.kv.encode(e.symbols.short(), e.model, out=o)
    ),
    "model-of-fewer-layers": (
        ShapeError, "model", lambda c, e, o: c.kv.encode(e.symbols, e.model[:1], out=o)
    ),
    "model-of-fewer-channels": (
        ShapeError, "model", lambda c, e, o: c.kv.encode(e.symbols, e.model[:, :39], out=o)
    ),
    "model-of-no-bins": (
        ShapeError, "model", lambda c, e, o: c.kv.encode(e.symbols, e.model[:, :, :1], out=o)
    ),
    "model-int32": (
        DTypeError, "model", lambda c, e, o: c.kv.encode(e.symbols, e.model.int(), out=o)
    ),
    "out-too-small": (
        SizeError, "out", lambda c, e, o: c.kv.encode(e.symbols, e.model, out=o[:-1])
    ),
    "out-tiny": (SizeError, "out", lambda c, e, o: c.kv.encode(e.symbols, e.model, out=o[:9])),
    "out-int8": (
        DTypeError, "out",
        lambda c, e, o: c.kv.encode(e.symbols, e.model, out=o.view(torch.int8)),
    ),
    "out-two-axes": (
        ShapeError, "out", lambda c, e, o: c.kv.encode(e.symbols, e.model, out=o[None])
    ),
    "data-int32": (DTypeError, "data", lambda c, e, o: c.kv.decode(e.data.int(), e.model, e.out)),
    "data-two-axes": (
        ShapeError, "data", lambda c, e, o: c.kv.decode(e.data[None], e.model, e.out)
    ),
    "data-strided": (ShapeError, "data", lambda c, e, o: c.kv.decode(e.data[::2], e.model, e.out)),
    "decoded-too-short": (
        ShapeError, "out", lambda c, e, o: c.kv.decode(e.data, e.model, e.out[:, :49])
    ),
    "decoded-int16": (
        DTypeError, "out", lambda c, e, o: c.kv.decode(e.data, e.model, e.out.short())
    ),
    "decoded-strided-channels": (
        ShapeError, "out",
        lambda c, e, o: c.kv.decode(e.data, e.model, e.out.view(2, 40, 50).transpose(1, 2)),
    ),
    "decoded-onto-itself": (
        OverlapError, "out",
        lambda c, e, o: c.kv.decode(e.data, e.model, e.out[:, :1].expand(2, 50, 40)),
    ),
    "decoded-is-none": (DTypeError, "out", lambda c, e, o: c.kv.decode(e.data, e.model, None)),
    "stream-is-none-such": (
        ArgumentError, "stream",
        lambda c, e, o: c.kv.decode(e.data, e.model, e.out, stream="main"),
    ),
}  # fmt: skip


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_entropy_arguments(codec: Codec, name: str) -> None:
    """Wrong dtypes, shapes, devices and sizes are refused by name, all bytes left as they were."""
    encoded = Encoded(codec)
    out = codec.guarded(encode_bound(Encoded.shape))
    error, argument, call = ARGUMENTS[name]
    codec.refused(error, argument, lambda: call(codec, encoded, out), out, encoded.out)


@case(level=2, needs=ENTROPY)
def test_entropy_overlaps(codec: Codec) -> None:
    """Outputs that share memory with inputs."""
    encoded = Encoded(codec)
    size = len(encoded.bytes)
    whole = codec.guarded(10_000)
    whole[:size] = encoded.data
    codec.refused(
        OverlapError,
        "out",
        lambda: codec.kv.decode(whole[:size], encoded.model, whole[:4000].view(Encoded.shape)),
        whole,
    )
    models = encoded.model.contiguous().view(torch.uint8).view(-1)
    codec.refused(
        OverlapError,
        "out",
        lambda: codec.kv.encode(encoded.symbols[:, :0], encoded.model, out=models),
        models,
    )
    own = codec.guarded(4000 + encode_bound(Encoded.shape))
    own[:4000] = encoded.symbols.flatten()
    codec.refused(
        OverlapError,
        "out",
        lambda: codec.kv.encode(own[:4000].view(Encoded.shape), encoded.model, out=own[3999:]),
        own,
    )


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("which", ["symbols", "model", "data", "out"])
def test_entropy_freed(codec: Codec, which: str) -> None:
    """Tensors that lost their memory."""
    encoded = Encoded(codec)
    gone = getattr(encoded, which).clone()
    gone.untyped_storage().resize_(0)
    setattr(encoded, which, gone)
    if which in ("symbols", "model"):
        codec.refused(FreedError, which, lambda: codec.kv.encode(encoded.symbols, encoded.model))
    if which != "symbols":
        codec.refused(
            FreedError,
            which,
            lambda: codec.kv.decode(encoded.data, encoded.model, encoded.out),
        )
