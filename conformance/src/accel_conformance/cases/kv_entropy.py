"""Entropy coding of quantised KV: models, bytes and symbols are what docs/kv-codec.md says."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from accel import Capability
from accel.kv import encode_bound
from accel_conformance import codec_expected
from accel_conformance.byte_compare import assert_same_bytes, bytes_of
from accel_conformance.case import case
from accel_conformance.codec_expected import Array, pull
from accel_conformance.codec_work import SPREADS, Codec, codec_work
from accel_conformance.fixtures import ReportProperty

codec = codec_work

ENTROPY = [Capability.KV_ENTROPY]
BINS = (1, 2, 3, 5, 8, 16, 17, 32, 33, 64, 65, 128, 255, 256)


def _shape(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("exact", [False, True], ids=["loose", "exact"])
@pytest.mark.parametrize("bins", BINS)
def test_entropy_bins(codec: Codec, bins: int, exact: bool) -> None:
    """Any number of bins, symbols spread in every way: models, bytes and symbols are exact."""
    for spread in SPREADS:
        codec.check_round_trip(codec.draw((2, 45, 70), bins, spread), bins, exact=exact)


SHAPES = (
    (1, 1, 1), (1, 1, 31), (1, 2, 32), (2, 3, 33), (3, 7, 64), (1, 5, 65), (5, 1, 95), (1, 3, 257),
    (1, 64, 128), (2, 255, 63), (1, 256, 576),
)  # fmt: skip


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("shape", SHAPES, ids=_shape)
def test_entropy_shape(codec: Codec, shape: tuple[int, int, int]) -> None:
    """Full and partial rows of 32 channels, few and many layers and tokens."""
    codec.check_round_trip(codec.draw(shape, 24, "by-channel"), 24)


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize(
    "shape",
    [(1, 2047, 3), (1, 2048, 33), (2, 2049, 2), (1, 4097, 34), (1, 6500, 1), (1, 1025, 300)],
    ids=_shape,
)
def test_entropy_chunks(codec: Codec, shape: tuple[int, int, int]) -> None:
    """Around 2048 tokens a chunk, and where rows of channels are shared by fewer streams."""
    codec.check_round_trip(codec.draw(shape, 32), 32)


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize(
    "shape", [(0, 4, 4), (2, 0, 40), (2, 4, 0), (0, 0, 0), (1, 0, 1)], ids=_shape
)
def test_entropy_of_nothing(codec: Codec, shape: tuple[int, int, int]) -> None:
    """No layers, tokens or channels: an even model, a header alone, and nothing written."""
    for bins in (1, 7, 256):
        symbols = torch.zeros(shape, dtype=torch.uint8)
        codec.check_round_trip(symbols, bins)
        model = codec.model(codec.put(symbols), bins)
        assert len(codec.encode(codec.put(symbols), model)) == 64


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("bins", [2, 40, 256])
def test_entropy_of_many_tokens(codec: Codec, bins: int) -> None:
    """More tokens than frequencies add up to: rare symbols still have one each."""
    symbols = codec.draw((1, 20_000, 2), bins, "rare")
    symbols[0, 12_345, 0] = 0
    model = codec.model(codec.put(symbols), bins, exact=True)
    codec.check_model(model, codec_expected.model_of(pull(symbols), bins, exact=True))
    codec.check_round_trip(symbols, bins)


@case(level=2, needs=ENTROPY)
def test_entropy_int8(codec: Codec) -> None:
    """An int8 symbol counts as its byte: -1 is 255."""
    symbols = codec.draw((2, 60, 40), 256).bitwise_xor(128).view(torch.int8)
    symbols[0, :4] = torch.arange(-128, 32, dtype=torch.int8).reshape(4, 40)
    wanted = codec_expected.model_of(pull(symbols), 256)
    model = codec.model(codec.put(symbols), 256)
    codec.check_model(model, wanted)
    data = codec.encode(codec.put(symbols), model)
    codec.check_bytes(data, codec_expected.encode(pull(symbols), wanted))
    out = codec.guarded(list(symbols.shape), torch.int8)
    codec.kv.decode(codec.put_bytes(data), model, out)
    codec.settle()
    assert_same_bytes(out, symbols, "decoded symbols")


@case(level=2, needs=ENTROPY)
def test_entropy_example(codec: Codec) -> None:
    """The example of docs/kv-codec.md, byte for byte."""
    symbols = torch.tensor([[[0, 3], [1, 3], [0, 2], [0, 3]]], dtype=torch.uint8)
    model = codec.model(codec.put(symbols), 4)
    assert model.tolist() == [[[0, 12286, 16382, 16383, 16384], [0, 1, 2, 4097, 16384]]]
    data = bytes.fromhex(
        "414b5643 01000e20 04000000 19cf3608 0100000000000000 0400000000000000"
        "0200000000000000 01000000 01000000 5000000000000000 852e7a22 ecf22008"
        "00000000 2677e166 62900900 64e00900"
    )
    codec.check_bytes(codec.encode(codec.put(symbols), model), data)
    out = codec.decoded(codec.put_bytes(data), model, symbols.shape)
    assert_same_bytes(out, symbols, "decoded symbols")


#: Symbols by a formula (see _formula): shape, bins, SHA-256 of the model and of the data.
FIXED: dict[str, tuple[tuple[int, int, int], int, str, str]] = {
    "two-chunks": (
        (2, 2050, 40),
        20,
        "50c220b7d222f0be5ac19bd4f1983197c13279c980f1df5b0a453951a5444c4b",
        "e49fbadc5c3c75f7c0b858c131c90d290845cf892885e61c0c63286daae6fad9",
    ),
    "groups": (
        (1, 256, 640),
        32,
        "0cfdd52788d9d79e990555d1b3b541b5ed4f0a5b4412c0c1064fcb1d9ee070b4",
        "828476fac5b7fb344904a3362632a708155bae65b9015f6f89b07bbdc927cbe6",
    ),
    "every-byte": (
        (1, 300, 70),
        256,
        "bcff08c9653acb435109346cc0ac5ecab3020cd18073bcd81ff34cb8ab3c41e0",
        "ba5a9a1496f8b1b0e15302dc3efa36369107224a769cad88fdc46be0c7a92755",
    ),
}


def _formula(shape: tuple[int, int, int], bins: int) -> Array:
    layer, token, channel = np.indices(shape).astype(np.int64)
    noise = (token * 7919 + channel * 104729 + layer * 1299709) * 2654435761 % 2**32 >> 16
    return noise * noise % 65521 * bins // 65521 * (channel % 5) // 4


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("name", FIXED)
def test_entropy_fixed(codec: Codec, name: str) -> None:
    """The bytes of symbols made by a formula, by their hashes: they never change."""
    shape, bins, model_hash, data_hash = FIXED[name]
    symbols = torch.from_numpy(_formula(shape, bins).astype(np.uint8))
    model = codec.model(codec.put(symbols), bins)
    data = codec.encode(codec.put(symbols), model)
    assert hashlib.sha256(bytes(bytes_of(model).tolist())).hexdigest() == model_hash
    assert hashlib.sha256(data).hexdigest() == data_hash
    out = codec.decoded(codec.put_bytes(data), model, shape)
    assert_same_bytes(out, symbols, "decoded symbols")


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("shared", ["whole", "first-chunk"])
def test_entropy_model_shared(codec: Codec, shared: str) -> None:
    """One model codes many chunks, whichever symbols it was made from."""
    whole = codec.draw((3, 400, 72), 32, "by-channel")
    of = whole if shared == "whole" else whole[:, :100]
    model = codec.model(codec.put(of), 32)
    for first in range(0, 400, 100):
        chunk = whole[:, first : first + 100]
        data = codec.encode(codec.put(chunk), model)
        codec.check_bytes(data, codec_expected.encode(pull(chunk), pull(model)))
        out = codec.decoded(codec.put_bytes(data), model, chunk.shape)
        assert_same_bytes(out, chunk, "decoded symbols")


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("bins", [2, 16, 256])
def test_entropy_any_model(codec: Codec, bins: int) -> None:
    """Any rising sequence is a model: random ones, with gaps, and ones that fit badly."""
    shape = (2, 60, 40)
    cuts = torch.randint(1, 16384, (2, 40, bins - 1), generator=codec.rng).sort(-1).values
    random = np.zeros((2, 40, bins + 1), np.int64)
    random[..., 1:-1], random[..., -1] = cuts.numpy(), 16384
    least = np.zeros_like(random)  # every bin but the last has a frequency of 1, or the first
    least[..., :-1], least[..., -1] = np.arange(bins), 16384
    greedy = 16384 - least[..., ::-1]
    drawn = pull(codec.draw(shape, bins, "uniform"))
    for model in (random, least, greedy):
        widths = np.diff(model)[:, None].repeat(60, 1)
        has = np.take_along_axis(widths, drawn[..., None], -1)[..., 0] > 0
        symbols = np.where(has, drawn, widths.argmax(-1))
        host, there = torch.from_numpy(symbols.astype(np.uint8)), codec.put_model(model)
        wanted = codec_expected.encode(symbols, model)
        assert len(wanted) <= encode_bound(shape), "encode_bound is too small"
        codec.check_bytes(codec.encode(codec.put(host), there), wanted)
        out = codec.decoded(codec.put_bytes(wanted), there, shape)
        assert_same_bytes(out, host, "decoded symbols")


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("split", [(1, 1), (3, 1), (1, 4), (7, 3), (50, 5)], ids=_shape)
def test_entropy_other_splits(codec: Codec, split: tuple[int, int]) -> None:
    """A decoder takes chunks and groups from the header, whatever an encoder would choose."""
    symbols = codec.draw((2, 50, 150), 20)
    model = codec_expected.model_of(pull(symbols), 20)
    data = codec_expected.encode(pull(symbols), model, split)
    out = codec.decoded(codec.put_bytes(data), codec.put_model(model), symbols.shape)
    assert_same_bytes(out, symbols, "decoded symbols")


@case(level=2, needs=ENTROPY)
def test_entropy_strided_symbols(codec: Codec) -> None:
    """Symbols and models may have any strides: the model and the bytes are the same."""
    wide = codec.put(codec.draw((4, 30, 96), 32, "by-channel"))
    for symbols in (
        wide[:, :, 32:70], wide[::2, 5:25], wide.transpose(1, 2), wide[:, ::3, ::2],
        wide[:1].expand(3, 30, 96), wide[:, :, :1].expand(4, 30, 50), wide.permute(2, 0, 1),
    ):  # fmt: skip
        model = codec.model(symbols, 32)
        wanted = codec_expected.model_of(pull(symbols), 32)
        codec.check_model(model, wanted)
        data = codec_expected.encode(pull(symbols), wanted)
        codec.check_bytes(codec.encode(symbols, model), data)
        turned = model.transpose(0, 2).contiguous().transpose(0, 2)
        codec.check_bytes(codec.encode(symbols, turned), data)
        out = codec.decoded(codec.put_bytes(data), turned, symbols.shape)
        assert_same_bytes(out, symbols, "decoded symbols")


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("channels", [1, 31, 32, 40, 96])
def test_entropy_strided_output(codec: Codec, channels: int) -> None:
    """Layers and tokens of the output may lie apart: what is between them stays as it was."""
    symbols = codec.draw((3, 26, channels), 50)
    model = codec.model(codec.put(symbols), 50)
    data = codec.put_bytes(codec.encode(codec.put(symbols), model))
    whole = codec.guarded([5, 40, channels + 9])
    wanted = whole.cpu().clone()
    wanted[1:4, 7:33, 5:-4] = symbols
    codec.kv.decode(data, model, whole[1:4, 7:33, 5:-4])
    codec.settle()
    assert_same_bytes(whole, wanted, "the tensor that holds the output")


@case(level=2, needs=ENTROPY)
def test_entropy_given_output(codec: Codec) -> None:
    """``out`` is used from its first byte on; behind the result it stays as it was."""
    symbols = codec.draw((2, 64, 40), 16)
    there = codec.put(symbols)
    model = codec.model(there, 16)
    wanted = codec_expected.encode(pull(symbols), pull(model))
    out = codec.guarded(encode_bound(symbols.shape) + 100)
    before = bytes_of(out)
    data = codec.kv.encode(there, model, out=out)
    assert data.data_ptr() == out.data_ptr(), "the result is not the first part of out"
    codec.check_bytes(bytes(data.tolist()), wanted)
    assert_same_bytes(out[len(wanted) :], before[len(wanted) :], "out behind the result")
    exact = codec.guarded(encode_bound(symbols.shape))
    codec.check_bytes(bytes(codec.kv.encode(there, model, out=exact).tolist()), wanted)


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("bins", [16, 32, 256])
@pytest.mark.parametrize(
    ("shape", "allowed"), [((1, 256, 1024), 0.02), ((1, 2048, 128), 0.006)], ids=_shape
)
def test_entropy_size(
    codec: Codec,
    report_property: ReportProperty,
    shape: tuple[int, int, int],
    allowed: float,
    bins: int,
) -> None:
    """Streams take at most 2 % more than the order-0 entropy at 256 tokens, 0.6 % at 2048."""
    symbols = codec.put(codec.draw(shape, bins))
    size = len(codec.kv.encode(symbols, codec.model(symbols, bins)))
    above = size / codec_expected.entropy_bytes(pull(symbols)) - 1
    report_property("above_entropy", round(above, 5))
    assert above <= allowed, f"{above:+.3%} of the entropy"
