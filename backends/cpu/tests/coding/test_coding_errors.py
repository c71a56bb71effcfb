"""What the coder refuses: by name, with what was expected and given, before anything is written."""

from __future__ import annotations

import struct

import pytest
import torch

from accel import errors
from accel.kv.codec_format import HEADER, SEED_HEADER, Container, check_of, encode_bound, words_of


@pytest.fixture(params=["native", "reference"])
def either(request, coder, oracle):
    return coder if request.param == "native" else oracle


@pytest.fixture
def encoded(coder):
    """Symbols ``[2, 50, 40]``, their model, and the data."""
    random = torch.Generator().manual_seed(1)
    symbols = torch.randint(0, 12, (2, 50, 40), generator=random).to(torch.uint8)
    model = coder.entropy_model(symbols, 16)
    return symbols, model, coder.encode(symbols, model)


def refused(error, either, data, model, out=None, shape=(2, 50, 40)):
    """Decoding raises ``error`` and leaves the output alone; returns the message."""
    out = torch.full(shape, 0xA5, dtype=torch.uint8) if out is None else out
    before = out.clone() if isinstance(out, torch.Tensor) else None
    with pytest.raises(error) as caught:
        either.decode(data, model, out)
    assert caught.type is error
    assert before is None or torch.equal(out, before)
    return str(caught.value)


def changed(data, at, value=None):
    data = data.clone()
    data[at] = data[at] ^ 0x40 if value is None else value
    return data


def with_header(data, **fields):
    """The container with other header fields, and its check made right."""
    names = ["magic", "version", "scale_bits", "lanes", "bins", "model_check", "layers", "tokens",
             "channels", "chunks", "groups", "total_bytes", "directory_check", "check"]  # fmt: skip
    raw = bytes(data.tolist())
    values = dict(zip(names, HEADER.unpack(raw[:64]), strict=True)) | fields
    head = HEADER.pack(*values.values())[:-4]
    head += struct.pack("<I", check_of(words_of(head), SEED_HEADER))
    return torch.tensor(list(head + raw[64:]), dtype=torch.uint8)


def test_sound(either, encoded):
    symbols, model, data = encoded
    out = torch.zeros_like(symbols)
    either.decode(data, model, out)
    assert torch.equal(out, symbols)


@pytest.mark.parametrize(
    ("at", "says"),
    [(0, "AKVC"), (4, "version"), (9, "header"), (50, "header"), (63, "header"),
     (66, "directory"), (80, "check"), (200, "check"), (-1, "check")],
)  # fmt: skip
def test_changed_byte(either, encoded, at, says):
    _, model, data = encoded
    message = refused(errors.CodecError, either, changed(data, at), model)
    assert message.startswith("data: expected ")
    assert says in message


def test_every_changed_bit_is_noticed(coder, encoded):
    _, model, data = encoded
    for at in range(0, len(data), 7):
        refused(errors.CodecError, coder, changed(data, at, int(data[at]) ^ 1 << at % 8), model)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 70, 79, 80, 100, -4, -1])
def test_truncated(either, encoded, size):
    _, model, data = encoded
    message = refused(errors.CodecError, either, data[:size], model)
    assert "bytes" in message


def test_too_long(either, encoded):
    _, model, data = encoded
    longer = torch.cat([data, torch.zeros(4, dtype=torch.uint8)])
    assert "no more" in refused(errors.CodecError, either, longer, model)


def test_foreign(either, encoded):
    _, model, _ = encoded
    text = torch.tensor(list(b"PK\x03\x04" * 100), dtype=torch.uint8)
    assert "AKVC" in refused(errors.CodecError, either, text, model)


@pytest.mark.parametrize(
    "fields",
    [
        {"scale_bits": 15}, {"lanes": 64}, {"bins": 0}, {"bins": 257}, {"tokens": 2**31},
        {"layers": 2**62}, {"chunks": 0}, {"chunks": 51}, {"groups": 3}, {"groups": 2**32 - 1},
        {"channels": 0}, {"layers": 2**31 - 1}, {"groups": 2}, {"total_bytes": 2**63},
    ],
)  # fmt: skip
def test_awkward_headers(either, encoded, fields):
    _, model, data = encoded
    refused(errors.CodecError, either, with_header(data, **fields), model)


def test_damage_behind_right_checks(either, encoded):
    """Streams of wrong words with right checks: found by what the lanes do."""
    symbols, model, data = encoded
    raw = bytes(data.tolist())
    container = Container.parse(raw, len(raw))
    split = container.header.split
    good = [raw[begin:end] for begin, end in container.ranges]

    def rebuilt(first):
        packed = Container.build(16, container.header.model_check, split, [first, *good[1:]])
        return torch.tensor(list(packed), dtype=torch.uint8)

    for wrong, says in [
        (good[0] + bytes(4), "no lane takes"),
        (good[0][:-4], "too few"),
        (bytes(4) + good[0][4:], "state below"),
        (good[0][:300] + b"\x55" + good[0][301:], ""),
    ]:
        with pytest.raises(errors.CodecError, match="in stream 0") as caught:
            either.decode(rebuilt(wrong), model, torch.zeros_like(symbols))
        assert says in str(caught.value)


def test_wrong_model(either, coder, encoded):
    symbols, model, data = encoded
    other = model.clone()
    other[1, 39, 3] += 1 if other[1, 39, 3] < other[1, 39, 4] else -1
    assert refused(errors.CodecError, either, data, other).startswith("model: expected the model")
    wider = coder.entropy_model(symbols, 17)
    assert refused(errors.CodecError, either, data, wider).startswith("model")


@pytest.mark.parametrize(("at", "value"), [(0, 1), (16, 16383), (5, 20000), (5, -1)])
def test_no_model(either, encoded, at, value):
    symbols, model, data = encoded
    broken = model.clone()
    broken[1, 7, at] = value
    message = refused(errors.CodecError, either, data, broken)
    assert "layer 1, channel 7" in message
    out = torch.full((encode_bound(symbols.shape),), 0xA5, dtype=torch.uint8)
    with pytest.raises(errors.CodecError, match="layer 1, channel 7"):
        either.encode(symbols, broken, out=out)
    assert (out == 0xA5).all()


def test_symbols_that_the_model_lacks(either, coder, encoded):
    symbols, model, _ = encoded
    out = torch.full((encode_bound(symbols.shape),), 0xA5, dtype=torch.uint8)
    outside = symbols.clone()
    outside[1, 3, 33] = 16
    with pytest.raises(errors.ArgumentError, match=r"symbols below 16, given 16 at \[1, 3, 33\]"):
        either.encode(outside, model, out=out)
    with pytest.raises(errors.ArgumentError, match=r"symbols below 16, given 16 at \[1, 3, 33\]"):
        either.entropy_model(outside, 16)
    exact = coder.entropy_model(symbols, 16, exact=True)
    unseen = symbols.clone()
    unseen[0, 49, 2] = 15
    with pytest.raises(errors.ArgumentError, match=r"15 at \[0, 49, 2\]") as caught:
        either.encode(unseen, exact, out=out)
    assert "exact" in caught.value.cure
    assert (out == 0xA5).all()


def test_arguments(either, encoded):
    symbols, model, data = encoded
    out = torch.zeros_like(symbols)
    e = errors
    for call, error in [
        (lambda: either.entropy_model(symbols, 0), e.ArgumentError),
        (lambda: either.entropy_model(symbols, 257), e.ArgumentError),
        (lambda: either.entropy_model(symbols, 16.0), e.DTypeError),
        (lambda: either.entropy_model(symbols, True), e.DTypeError),
        (lambda: either.entropy_model(symbols.float(), 16), e.DTypeError),
        (lambda: either.entropy_model(symbols[0], 16), e.ShapeError),
        (lambda: either.entropy_model([1, 2], 16), e.DTypeError),
        (lambda: either.entropy_model(symbols.to("meta"), 16), e.DeviceError),
        (lambda: either.encode(symbols, model[:1]), e.ShapeError),
        (lambda: either.encode(symbols, model[:, :39]), e.ShapeError),
        (lambda: either.encode(symbols, model[:, :, :1]), e.ShapeError),
        (lambda: either.encode(symbols, model.int()), e.DTypeError),
        (lambda: either.encode(symbols.short(), model), e.DTypeError),
        (lambda: either.encode(symbols, model, out=torch.zeros(9, dtype=torch.uint8)), e.SizeError),
        (lambda: either.encode(symbols, model, out=torch.zeros(9999)), e.DTypeError),
        (lambda: either.decode(data.int(), model, out), e.DTypeError),
        (lambda: either.decode(data[None], model, out), e.ShapeError),
        (lambda: either.decode(data[::2], model, out), e.ShapeError),
        (lambda: either.decode(data, model, out[:, :49]), e.ShapeError),
        (lambda: either.decode(data, model, out.float()), e.DTypeError),
        (lambda: either.decode(data, model, out.transpose(1, 2).contiguous().mT), e.ShapeError),
        (lambda: either.decode(data, model, out[:, :1].expand(2, 50, 40)), e.OverlapError),
        (lambda: either.decode(data, model, None), e.DTypeError),
    ]:
        with pytest.raises(error) as caught:
            call()
        assert caught.type is error
        assert "expected" in str(caught.value)
    assert (out == 0).all()
    with pytest.raises(e.ShapeError):
        encode_bound((1, 2))


def test_shared_memory(either, encoded):
    symbols, model, data = encoded
    whole = torch.zeros(10_000, dtype=torch.uint8)
    whole[: len(data)] = data
    inside = whole[:4000].view(2, 50, 40)
    refused(errors.OverlapError, either, whole[: len(data)], model, inside)
    own = torch.zeros(40_000, dtype=torch.uint8)
    own[:4000] = symbols.flatten()
    with pytest.raises(errors.OverlapError):
        either.encode(own[:4000].view(2, 50, 40), model, out=own[100:])
    assert torch.equal(own[:4000], symbols.flatten())


def test_freed(either, encoded):
    symbols, model, data = encoded
    gone = symbols.clone()
    gone.untyped_storage().resize_(0)
    with pytest.raises(errors.FreedError):
        either.encode(gone, model)
    with pytest.raises(errors.FreedError):
        either.decode(data, model, gone)
