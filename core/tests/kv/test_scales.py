"""Scales: which shapes there are, what they expand to, which numbers are none."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from accel import ArgumentError, DeviceError, DTypeError, FreedError, ShapeError
from accel.kv.scales import cache_scales, check_scales, token_scales

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("scale", "per_head"),
    [
        (0.5, False), (2, False), (Fraction(1, 3), False), (torch.tensor(0.5), False),
        (torch.tensor([0.5]), False), (torch.rand(3) + 1, True), (torch.rand(5, 1) + 1, False),
        (torch.rand(5, 3) + 1, True), (torch.rand(3, 5).T + 1, True),
    ],
)  # fmt: skip
def test_scales_of_tokens(scale, per_head) -> None:
    made = token_scales("key_scale", scale, 5, 3, CPU)
    want = torch.as_tensor(scale if isinstance(scale, torch.Tensor) else float(scale))
    assert made.values.shape == (5, 3)
    assert torch.equal(made.values, want.float().expand(5, 3))
    assert made.per_head is per_head


def test_one_head_is_never_apart() -> None:
    for scale in (torch.ones(1), torch.ones(5, 1), 1.0):
        assert not token_scales("key_scale", scale, 5, 1, CPU).per_head
    assert not cache_scales("dst_scale", torch.ones(2, 1), 3, [1, 1], CPU).per_head


@pytest.mark.parametrize(
    ("scale", "per_head"),
    [
        (0.5, False), (torch.tensor(0.5), False), (torch.tensor([1.0, 2.0]), False),
        (torch.rand(2, 4) + 1, True), (torch.rand(3, 2, 4) + 1, True),
    ],
)  # fmt: skip
def test_scales_of_a_cache(scale, per_head) -> None:
    made = cache_scales("src_scale", scale, 3, [4, 4], CPU)
    want = torch.as_tensor(scale)
    want = want.unsqueeze(-1) if want.dim() == 1 else want
    assert torch.equal(made.values, want.expand(3, 2, 4))
    assert made.per_head is per_head


def test_planes_of_different_heads_share_theirs() -> None:
    made = cache_scales("src_scale", torch.tensor([1.0, 2.0]), 3, [4, 2], CPU)
    assert made.values.shape == (3, 2, 1) and not made.per_head
    with pytest.raises(ShapeError, match="heads differ"):
        cache_scales("src_scale", torch.ones(2, 4), 3, [4, 2], CPU)


@pytest.mark.parametrize(
    ("scale", "error"),
    [
        (torch.ones(5), ShapeError), (torch.ones(4, 1), ShapeError), (torch.ones(1, 3), ShapeError),
        (torch.ones(5, 2), ShapeError), (torch.ones(5, 3, 1), ShapeError),
        (torch.ones(3).double(), DTypeError), (True, DTypeError), ("1", DTypeError),
        (None, DTypeError), ([1.0], DTypeError), (1j, DTypeError),
        (torch.ones(3, device="meta"), DeviceError),
        (0, ArgumentError), (-1.0, ArgumentError), (float("nan"), ArgumentError),
        (1e39, ArgumentError), (1e-46, ArgumentError), (10**400, ArgumentError),
        (-(10**400), ArgumentError), (float("-inf"), ArgumentError),
    ],
)  # fmt: skip
def test_what_is_no_scale(scale, error) -> None:
    with pytest.raises(error) as caught:
        token_scales("value_scale", scale, 5, 3, CPU)
    assert type(caught.value) is error and caught.value.argument == "value_scale"


def test_the_ends_of_float32_are_scales() -> None:
    for scale in (1e-45, 3.4e38, 2**-149):
        assert token_scales("key_scale", scale, 1, 1, CPU).values.item() > 0


def test_memory_that_is_gone() -> None:
    gone = torch.ones(3)
    gone.untyped_storage().resize_(0)
    with pytest.raises(FreedError):
        token_scales("key_scale", gone, 5, 3, CPU)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_only_the_rows_asked_for_are_looked_at(bad) -> None:
    values = torch.ones(5, 3)
    values[2, 1] = bad
    scales = token_scales("key_scale", values, 5, 3, CPU)
    check_scales("key_scale", scales, torch.tensor([0, 1, 3, 4]))
    check_scales("key_scale", scales, torch.tensor([], dtype=torch.int64))
    for rows in (None, torch.tensor([4, 2])):
        with pytest.raises(ArgumentError, match=rf"{bad} at \[2, 1\]"):
            check_scales("key_scale", scales, rows)
