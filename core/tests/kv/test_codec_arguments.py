"""Argument checks that entropy coders share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from accel import errors
from accel.kv import codec_arguments as arguments
from accel.kv import encode_bound

HOST = ("cpu",)


def test_bins() -> None:
    assert [arguments.check_bins(n) for n in (1, 32, 256)] == [1, 32, 256]
    for wrong in (0, -1, 257):
        with pytest.raises(errors.ArgumentError, match="bins: expected 1 to 256"):
            arguments.check_bins(wrong)
    for other in (True, 16.0, "16", None, torch.tensor(3)):
        with pytest.raises(errors.DTypeError, match="bins: expected an int"):
            arguments.check_bins(other)


def test_symbols_are_bytes() -> None:
    signed = torch.full((2, 3, 4), -1, dtype=torch.int8)
    seen = arguments.check_symbols(signed, HOST)
    assert seen.dtype == torch.uint8 and (seen == 255).all()
    assert seen.data_ptr() == signed.data_ptr()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ([1, 2], errors.DTypeError),
        (torch.zeros(2, 3, 4), errors.DTypeError),
        (torch.zeros(2, 3, 4, dtype=torch.bool), errors.DTypeError),
        (torch.zeros(2, 3, 4, dtype=torch.uint8).to_sparse(), errors.DTypeError),
        (torch.zeros(3, 4, dtype=torch.uint8), errors.ShapeError),
        (torch.zeros(1, 2, 3, 4, dtype=torch.uint8), errors.ShapeError),
        (torch.zeros(1, dtype=torch.uint8).expand(1, 1, 2**31), errors.ShapeError),
        (torch.zeros(2, 3, 4, dtype=torch.uint8, device="meta"), errors.DeviceError),
    ],
)
def test_what_are_no_symbols(given: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="symbols: expected"):
        arguments.check_symbols(given, HOST)


def test_freed() -> None:
    gone = torch.zeros(2, 3, 4, dtype=torch.uint8)
    gone.untyped_storage().resize_(0)
    with pytest.raises(errors.FreedError, match="symbols"):
        arguments.check_symbols(gone, HOST)


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t,
        lambda t: t[:, :, 3:7],
        lambda t: t[::2, ::3],
        lambda t: t.transpose(0, 1),
        lambda t: t[:1, :1].expand(1, 1, 10),
        lambda t: t[:, :, :1],
        lambda t: t[:0].expand(0, 10, 10),
    ],
)
def test_outputs(view: Callable[[torch.Tensor], torch.Tensor]) -> None:
    target = view(torch.zeros(4, 10, 10, dtype=torch.uint8))
    assert arguments.check_symbols(target, HOST, "out", written=True).shape == target.shape


@pytest.mark.parametrize(
    ("view", "error"),
    [
        (lambda t: t[:, :, ::2], errors.ShapeError),
        (lambda t: t.transpose(1, 2), errors.ShapeError),
        (lambda t: t[:1].expand(4, 10, 10), errors.OverlapError),
        (lambda t: t[:, :1].expand(4, 10, 10), errors.OverlapError),
        (lambda t: t.as_strided((4, 10, 10), (5, 20, 1)), errors.OverlapError),
        (lambda t: t.as_strided((2, 3, 10), (25, 9, 1)), errors.OverlapError),
    ],
)
def test_wrong_outputs(
    view: Callable[[torch.Tensor], torch.Tensor], error: type[Exception]
) -> None:
    target = view(torch.zeros(4, 10, 10, dtype=torch.uint8))
    with pytest.raises(error, match="out: expected"):
        arguments.check_symbols(target, HOST, "out", written=True)


def test_models() -> None:
    model = torch.zeros(2, 5, 17, dtype=torch.int16)
    assert arguments.check_model(model, 2, 5, HOST).shape == (2, 5, 17)
    for layers, channels in ((3, 5), (2, 4)):
        with pytest.raises(errors.ShapeError, match=rf"\[{layers}, {channels}, bins \+ 1\]"):
            arguments.check_model(model, layers, channels, HOST)
    for bins in (0, 257):
        wrong = torch.zeros(2, 5, bins + 1, dtype=torch.int16)
        with pytest.raises(errors.ShapeError, match="1 to 256 bins"):
            arguments.check_model(wrong, 2, 5, HOST)
    with pytest.raises(errors.DTypeError, match="model"):
        arguments.check_model(model.int(), 2, 5, HOST)


def test_output_of_encoding() -> None:
    shape = (2, 30, 40)
    need = encode_bound(shape)
    memory = torch.zeros(2 * need, dtype=torch.uint8)
    others = {"symbols": memory[:100]}
    assert arguments.check_encode_out(memory[100:], shape, HOST, others).numel() == 2 * need - 100
    with pytest.raises(errors.SizeError, match=f"at least {need} bytes"):
        arguments.check_encode_out(memory[-need + 1 :], shape, HOST, others)
    with pytest.raises(errors.OverlapError, match="apart from symbols"):
        arguments.check_encode_out(memory[99:], shape, HOST, others)
    with pytest.raises(errors.ShapeError, match="contiguous"):
        arguments.check_encode_out(memory[::2], shape, HOST, others)


def test_apart() -> None:
    memory = torch.zeros(100, dtype=torch.int16)
    first, second = memory[:50], memory[50:]
    arguments.check_apart(first, "out", {"a": second, "b": memory[:0], "c": memory[20:20]})
    with pytest.raises(errors.OverlapError, match="out: expected memory apart from b"):
        arguments.check_apart(first, "out", {"a": second, "b": memory[49:60]})
    with pytest.raises(errors.OverlapError):
        arguments.check_apart(memory[10:40:3], "out", {"a": memory[37:38]})
    arguments.check_apart(memory[10:40:3], "out", {"a": memory[38:39]})
