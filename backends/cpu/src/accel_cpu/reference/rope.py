"""``rope_reposition`` in double precision, rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel.kv import KVCache
from accel.kv.rope_arguments import check_positions, check_rope
from accel.providers import KVRope

from .bytes import elements
from .streams import check_stream

if TYPE_CHECKING:
    import torch

    from accel.kv import Rope
    from accel.providers import Stream

__all__ = ["ReferenceKVRope"]


class ReferenceKVRope(KVRope):
    """Reads the tokens that move with an index, rotates them, and writes the rotated channels."""

    def rope_reposition(
        self,
        keys: torch.Tensor | KVCache,
        old_positions: torch.Tensor,
        new_positions: torch.Tensor,
        rope: Rope,
        *,
        slots: torch.Tensor | None = None,
        layer: int | None = None,
        stream: Stream | None = None,
    ) -> None:
        check_stream(stream)
        target = check_rope(keys, old_positions, new_positions, rope, slots, layer, ("cpu",))
        units = keys.slots if isinstance(keys, KVCache) else 0
        slots, old, new = check_positions(old_positions, new_positions, rope, slots, units)
        moves = old != new
        cosine, sine = _turns(rope, target.rotary_dim, old[moves], new[moves])
        for view in target.keys:
            token: Any
            if slots is None:
                token = moves.reshape(old_positions.shape)
            else:
                size = view.shape[1]
                token = (slots[moves] // size, slots[moves] % size)
            bits = elements(view)
            raw = bits[token]  # [tokens, heads, head_dim], or [tokens, heads, D1, D0]
            heads = raw.flatten(2).clone()
            part = heads[..., rope.offset : rope.offset + target.rotary_dim]
            x = part.view(view.dtype).double()
            turned = _rotate(x, cosine[:, None], sine[:, None], rope.interleaved)
            part.copy_(_round(turned, view.dtype).view(part.dtype))
            bits[token] = heads.reshape(raw.shape)


def _turns(
    rope: Rope, rotary_dim: int, old: torch.Tensor, new: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine ``[tokens, pairs]`` of the rotations from old to new positions."""
    import torch

    if rope.cos_sin_cache is None:
        inv_freq = torch.tensor(rope.inv_freq(rotary_dim), dtype=torch.float64)
        angle = (new - old).double()[:, None] * inv_freq
        return angle.cos(), angle.sin()
    c_old, s_old = rope.cos_sin_cache[old].double().chunk(2, dim=-1)
    c_new, s_new = rope.cos_sin_cache[new].double().chunk(2, dim=-1)
    norm = c_old * c_old + s_old * s_old
    return (c_new * c_old + s_new * s_old) / norm, (s_new * c_old - c_new * s_old) / norm


def _rotate(
    x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, interleaved: bool
) -> torch.Tensor:
    import torch

    if interleaved:
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack((a * cosine - b * sine, a * sine + b * cosine), dim=-1).flatten(-2)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cosine - b * sine, a * sine + b * cosine), dim=-1)


def _round(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Double precision to ``dtype``, to nearest even.

    Torch goes to the short types by way of float32, which rounds twice. Here float32 is rounded to
    odd, towards zero with the last bit set when inexact: from that the second rounding is right
    (Boldo and Melquiond 2008).
    """
    import torch

    nearest = x.float()
    if dtype == torch.float32:
        return nearest
    inexact = (nearest.double() != x) & ~x.isnan()
    too_far = inexact & (nearest.double().abs() > x.abs())
    bits = nearest.view(torch.int32) - too_far.int()
    return (bits | inexact.int()).view(torch.float32).to(dtype)
