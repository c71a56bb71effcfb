"""Pieces cover everything once, in order, and fit."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accel.staging.pieces import cut, pairs_of_pieces


@given(st.lists(st.integers(0, 7), max_size=5), st.integers(1, 40))
def test_every_element_once_and_in_order(extents: list[int], most: int) -> None:
    numbers = torch.arange(math.prod(extents)).reshape(extents)
    pieces = [numbers[i] for i in cut(extents, most)]
    assert all(0 < piece.numel() <= most for piece in pieces)
    assert [n for piece in pieces for n in piece.flatten().tolist()] == list(range(numbers.numel()))
    # No crumbs: not many more than twice the least number of pieces.
    assert len(pieces) <= 2 * math.ceil(numbers.numel() / most)


@given(
    st.sampled_from([torch.float16, torch.int8, torch.float64, torch.bool, torch.complex128]),
    st.permutations([0, 1, 2]),
    st.permutations([0, 1, 2]),
    st.integers(16, 400),
)
def test_pairs_match(dtype: torch.dtype, first: list[int], second: list[int], nbytes: int) -> None:
    """Both views of a pair are the same part of the two tensors, whatever their strides."""

    def strided(axes: list[int]) -> torch.Tensor:
        shape = [(5, 6, 7)[a] for a in axes]
        back = [axes.index(a) for a in range(3)]
        return torch.zeros(shape, dtype=dtype).permute(back)

    src, dst = strided(first), strided(second)
    src.copy_(torch.arange(210).reshape(5, 6, 7) % 2 if dtype == torch.bool else
              torch.arange(210).reshape(5, 6, 7) % 100)  # fmt: skip
    for into, out_of in pairs_of_pieces(dst, src, nbytes):
        assert into.shape == out_of.shape
        assert into.dtype == out_of.dtype
        assert into.numel() * into.element_size() <= nbytes
        into.copy_(out_of)
    assert torch.equal(dst, src)


@pytest.mark.parametrize("extents", [(0,), (3, 0, 2)])
def test_nothing(extents: tuple[int, ...]) -> None:
    assert list(cut(extents, 10)) == []
    assert list(cut((), 1)) == [()]
