"""Rope: frequencies against published ones, which channels turn, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from accel import ArgumentError, DTypeError, ShapeError
from accel.kv import LinearScaling, Llama3Scaling, Rope, YarnScaling

#: Llama 3 and Llama 3.1, 8B: head dim 128, base 500000; as their implementations print them.
LLAMA_3 = """
    1.0000e+00 8.1462e-01 6.6360e-01 5.4058e-01 4.4037e-01 3.5873e-01 2.9223e-01 2.3805e-01
    1.9392e-01 1.5797e-01 1.2869e-01 1.0483e-01 8.5397e-02 6.9566e-02 5.6670e-02 4.6164e-02
    3.7606e-02 3.0635e-02 2.4955e-02 2.0329e-02 1.6560e-02 1.3490e-02 1.0990e-02 8.9523e-03
    7.2927e-03 5.9407e-03 4.8394e-03 3.9423e-03 3.2114e-03 2.6161e-03 2.1311e-03 1.7360e-03
    1.4142e-03 1.1520e-03 9.3847e-04 7.6450e-04 6.2277e-04 5.0732e-04 4.1327e-04 3.3666e-04
    2.7425e-04 2.2341e-04 1.8199e-04 1.4825e-04 1.2077e-04 9.8381e-05 8.0143e-05 6.5286e-05
    5.3183e-05 4.3324e-05 3.5292e-05 2.8750e-05 2.3420e-05 1.9078e-05 1.5542e-05 1.2660e-05
    1.0313e-05 8.4015e-06 6.8440e-06 5.5752e-06 4.5417e-06 3.6997e-06 3.0139e-06 2.4551e-06
"""
LLAMA_3_1_FROM_PAIR_28 = """
    3.2114e-03 2.1666e-03 1.3719e-03 8.5675e-04 5.2485e-04 3.1269e-04 1.7851e-04 9.5562e-05
    7.7847e-05 6.3415e-05 5.1659e-05 4.2082e-05 3.4281e-05 2.7926e-05 2.2749e-05 1.8532e-05
    1.5096e-05 1.2298e-05 1.0018e-05 8.1607e-06 6.6479e-06 5.4155e-06 4.4115e-06 3.5937e-06
    2.9275e-06 2.3848e-06 1.9427e-06 1.5826e-06 1.2892e-06 1.0502e-06 8.5550e-07 6.9690e-07
    5.6771e-07 4.6247e-07 3.7673e-07 3.0689e-07
"""


def published(text: str) -> list[float]:
    return [float(number) for number in text.split()]


def test_frequencies_of_llama_3() -> None:
    assert Rope(base=500000.0).inv_freq(128) == pytest.approx(published(LLAMA_3), rel=1e-4)


def test_frequencies_of_llama_3_1() -> None:
    expected = published(LLAMA_3)[:28] + published(LLAMA_3_1_FROM_PAIR_28)
    got = Rope(base=500000.0, scaling=Llama3Scaling()).inv_freq(128)
    assert got == pytest.approx(expected, rel=1e-4)


def test_ranges_of_llama_3_2() -> None:
    """1B: head dim 64, factor 32. Pairs 0 to 14 are kept, from 18 on divided, three between."""
    plain = Rope(base=500000.0).inv_freq(64)
    got = Rope(base=500000.0, scaling=Llama3Scaling(factor=32.0)).inv_freq(64)
    assert got[:15] == plain[:15]
    assert got[18:] == pytest.approx([f / 32 for f in plain[18:]], rel=1e-15)
    assert all(plain[i] / 32 * 1.001 < got[i] < plain[i] * 0.999 for i in (15, 16, 17))


def test_llama_3_without_a_ramp() -> None:
    scaling = Llama3Scaling(4.0, low_freq_factor=2.0, high_freq_factor=2.0)
    plain = Rope().inv_freq(64)
    cut = [f if 8192 * f / math.tau > 2 else f / 4 for f in plain]
    assert Rope(scaling=scaling).inv_freq(64) == cut
    assert cut != plain


def test_linear() -> None:
    plain = Rope(base=1e6).inv_freq(80)
    assert Rope(base=1e6, scaling=LinearScaling(4.0)).inv_freq(80) == [f / 4 for f in plain]


def test_yarn_of_deepseek_v3() -> None:
    """64 channels, base 10000, 4096 positions times 40: the ramp goes from pair 10 to pair 23."""
    plain = Rope().inv_freq(64)
    got = Rope(scaling=YarnScaling(40.0, 4096)).inv_freq(64)
    assert got[:11] == plain[:11]
    assert got[23:] == pytest.approx([f / 40 for f in plain[23:]], rel=1e-15)
    for i in range(11, 23):
        ramp = (i - 10) / 13
        assert got[i] == pytest.approx(plain[i] * ((1 - ramp) + ramp / 40), rel=1e-14)


def test_yarn_without_rounding() -> None:
    """gpt-oss: 64 channels, base 150000, 4096 positions times 32, ``truncate`` false."""
    scaling = YarnScaling(32.0, 4096, truncate=False)
    plain = Rope(base=150000.0).inv_freq(64)
    got = Rope(base=150000.0, scaling=scaling).inv_freq(64)
    # By how often a pair turns over 4096 positions: log-linear in the pair's number.
    turns = [4096 * f / math.tau for f in plain]
    for t, f, scaled in zip(turns, plain, got, strict=True):
        ramp = min(1.0, max(0.0, math.log(32 / t) / math.log(32)))
        assert scaled == pytest.approx(f * (1 - ramp) + f / 32 * ramp, rel=1e-12)
    assert Rope(base=150000.0, scaling=YarnScaling(32.0, 4096)).inv_freq(64) != got


def test_yarn_whose_ramp_is_one_pair() -> None:
    got = Rope(base=1e6, scaling=YarnScaling(2.0, 3)).inv_freq(8)  # fewer than half a turn at all
    assert got == [f / 2 if i else f for i, f in enumerate(Rope(base=1e6).inv_freq(8))]


@pytest.mark.parametrize(
    ("rope", "head_dim", "dim"),
    [
        (Rope(), 128, 128),
        (Rope(offset=512), 576, 64),
        (Rope(rotary_dim=32), 128, 32),
        (Rope(rotary_dim=32, offset=96), 128, 32),
        (Rope(cos_sin_cache=torch.ones(5, 16)), 80, 16),
        (Rope(cos_sin_cache=torch.ones(5, 16), rotary_dim=16, offset=64), 80, 16),
    ],
)
def test_rotated_channels(rope: Rope, head_dim: int, dim: int) -> None:
    assert rope.dim_for(head_dim) == dim


@pytest.mark.parametrize(
    ("rope", "head_dim"),
    [
        (Rope(), 7),
        (Rope(offset=64), 64),
        (Rope(offset=65), 64),
        (Rope(rotary_dim=66), 64),
        (Rope(rotary_dim=32, offset=34), 64),
        (Rope(cos_sin_cache=torch.ones(5, 16)), 14),
    ],
)
def test_channels_that_do_not_fit(rope: Rope, head_dim: int) -> None:
    with pytest.raises(ShapeError, match="rope"):
        rope.dim_for(head_dim)


TABLE = torch.ones(4, 8)


@pytest.mark.parametrize(
    ("make", "error", "argument"),
    [
        (lambda: Rope(rotary_dim=3), ArgumentError, "rotary_dim"),
        (lambda: Rope(rotary_dim=0), ArgumentError, "rotary_dim"),
        (lambda: Rope(rotary_dim=64.0), ArgumentError, "rotary_dim"),
        (lambda: Rope(offset=-1), ArgumentError, "offset"),
        (lambda: Rope(offset=0.5), ArgumentError, "offset"),
        (lambda: Rope(base=1.0), ArgumentError, "base"),
        (lambda: Rope(base=math.inf), ArgumentError, "base"),
        (lambda: Rope(base="1e4"), ArgumentError, "base"),
        (lambda: Rope(scaling={"factor": 8.0}), DTypeError, "scaling"),
        (lambda: Rope(scaling=LinearScaling(2.0), cos_sin_cache=TABLE), ArgumentError, "scaling"),
        (lambda: Rope(cos_sin_cache=[1.0]), DTypeError, "cos_sin_cache"),
        (lambda: Rope(cos_sin_cache=TABLE.double()), DTypeError, "cos_sin_cache"),
        (lambda: Rope(cos_sin_cache=TABLE[0]), ShapeError, "cos_sin_cache"),
        (lambda: Rope(cos_sin_cache=TABLE[:, :7]), ShapeError, "cos_sin_cache"),
        (lambda: Rope(cos_sin_cache=TABLE, rotary_dim=6), ShapeError, "cos_sin_cache"),
        (lambda: LinearScaling(0.0), ArgumentError, "factor"),
        (lambda: LinearScaling(-2.0), ArgumentError, "factor"),
        (lambda: LinearScaling(math.nan), ArgumentError, "factor"),
        (lambda: LinearScaling(None), ArgumentError, "factor"),
        (lambda: Llama3Scaling(factor=math.inf), ArgumentError, "factor"),
        (lambda: Llama3Scaling(low_freq_factor=0.0), ArgumentError, "low_freq_factor"),
        (lambda: Llama3Scaling(low_freq_factor=5.0), ArgumentError, "low_freq_factor"),
        (lambda: Llama3Scaling(high_freq_factor=-1.0), ArgumentError, "high_freq_factor"),
        (lambda: Llama3Scaling(original_max_position=0), ArgumentError, "original_max_position"),
        (lambda: YarnScaling(0.0, 4096), ArgumentError, "factor"),
        (lambda: YarnScaling(8.0, -1), ArgumentError, "original_max_position"),
        (lambda: YarnScaling(8.0, 4096, beta_fast=math.nan), ArgumentError, "beta_fast"),
        (lambda: YarnScaling(8.0, 4096, beta_slow=0.0), ArgumentError, "beta_slow"),
        (lambda: YarnScaling(8.0, 4096, beta_slow=32.0), ArgumentError, "beta_slow"),
    ],
)
def test_refused(make, error, argument) -> None:
    with pytest.raises(error) as caught:
        make()
    assert caught.value.argument == argument
