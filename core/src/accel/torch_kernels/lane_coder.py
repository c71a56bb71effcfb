"""The rANS coder of docs/kv-codec.md, all lanes of all streams side by side in torch operators.

A step is one (row, token): every stream of a batch takes it at once, so Python loops over the
steps of a lane, never over lanes, streams or symbols. Streams of one batch have as many rows and
tokens as one another; a call has up to four such shapes, since parts differ by one at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..kv.codec_format import LANES, SCALE, SCALE_BITS, STATE_LOW, Split, StreamPlace

if TYPE_CHECKING:
    import torch

__all__ = ["Stretch", "batches_of", "decode_batch", "encode_batch"]

#: Symbols of a batch: what is looked up for them is kept for all its steps.
_MOST = 4 << 20


@dataclass(frozen=True, eq=False)
class Stretch:
    """Streams of the same rows and tokens."""

    numbers: list[int]
    places: list[StreamPlace]

    @property
    def rows(self) -> int:
        """Rows of every stream."""
        return self.places[0].rows

    @property
    def tokens(self) -> int:
        """Tokens of every stream."""
        return self.places[0].tokens


def batches_of(split: Split) -> Iterator[Stretch]:
    """All streams, by shape, so many at a time that a batch is bounded."""
    alike: dict[tuple[int, int], list[tuple[int, StreamPlace]]] = {}
    for number in range(split.streams):
        place = split.place(number)
        alike.setdefault((place.rows, place.tokens), []).append((number, place))
    for (rows, tokens), members in alike.items():
        each = max(1, _MOST // (rows * tokens * LANES))
        for first in range(0, len(members), each):
            part = members[first : first + each]
            yield Stretch([n for n, _ in part], [p for _, p in part])


def encode_batch(
    stretch: Stretch, symbols: torch.Tensor, model: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each stream's states (int64 ``[lanes]``) and words (int32, in decoding order).

    Args:
        symbols: uint8 ``[layers, tokens, channels]``.
        model: int64 ``[layers, channels, bins + 1]``.
    """
    import torch

    streams, bins = len(stretch.places), model.shape[2]
    flat = model.reshape(-1)
    states = torch.full((streams, LANES), STATE_LOW, dtype=torch.int64)
    steps = stretch.rows * stretch.tokens
    words = torch.zeros(steps, streams, LANES, dtype=torch.int32)
    given = torch.zeros(steps, streams, LANES, dtype=torch.bool)
    layer, token = _corner(stretch)
    for row in reversed(range(stretch.rows)):
        channel, valid = _channels(stretch, row, model.shape[1])
        every = token + torch.arange(stretch.tokens)  # [streams, tokens]
        at = (layer * symbols.shape[1] + every).unsqueeze(-1) * symbols.shape[2]
        values = symbols.reshape(-1)[(at + channel.unsqueeze(1))].long()  # [streams, tokens, lanes]
        first = ((layer * model.shape[1] + channel) * bins).unsqueeze(1) + values
        starts = flat[first]
        frequencies = (flat[first + 1] - starts).clamp(min=1)  # 1 where no lane is
        for i in reversed(range(stretch.tokens)):
            step = row * stretch.tokens + i
            start, frequency = starts[:, i], frequencies[:, i]
            gives = valid & (states >> (32 - SCALE_BITS) >= frequency)
            words[step] = (states & 0xFFFF).int()
            given[step] = gives
            states_now = torch.where(gives, states >> 16, states)
            quotient = states_now // frequency
            pushed = (quotient << SCALE_BITS) + states_now - quotient * frequency + start
            states = torch.where(valid, pushed, states_now)
    in_order = words.transpose(0, 1)[given.transpose(0, 1)]
    counts = given.sum((0, 2)).tolist()
    parts = torch.split(in_order, counts)
    return [(states[i, : place.lanes], parts[i]) for i, place in enumerate(stretch.places)]


def decode_batch(
    stretch: Stretch,
    units: torch.Tensor,
    ranges: list[tuple[int, int]],
    model: torch.Tensor,
    out: torch.Tensor,
) -> list[tuple[int, str]]:
    """Fill in ``out`` (uint8 ``[layers, tokens, channels]``); streams that are wrong, and how.

    Args:
        units: int64, the container's 32-bit units; ranges: each stream's first unit and end.
        model: as :func:`encode_batch`.
    """
    import torch

    streams, bins = len(stretch.places), model.shape[2]
    lanes = torch.tensor([p.lanes for p in stretch.places]).unsqueeze(1)
    exists = torch.arange(LANES) < lanes
    begin = torch.tensor([b for b, _ in ranges]).unsqueeze(1)
    end = torch.tensor([e for _, e in ranges]).unsqueeze(1)
    where = (begin + torch.arange(LANES)).clamp(max=len(units) - 1)
    states = torch.where(exists, units[where], STATE_LOW)
    low = (states < STATE_LOW).any(1)
    # Words: two to a unit, the lower half first.
    words = torch.stack([units & 0xFFFF, units >> 16], -1).flatten()
    first_word = (begin + lanes) * 2
    left = end * 2 - first_word
    taken = torch.zeros(streams, 1, dtype=torch.int64)
    few = torch.zeros(streams, dtype=torch.bool)
    layer, token = _corner(stretch)
    target = out.view(-1)
    for row in range(stretch.rows):
        channel, valid = _channels(stretch, row, model.shape[1])
        of_lanes = model.view(-1, bins)[(layer * model.shape[1] + channel).flatten()]
        flat = of_lanes.view(-1)
        rows = torch.arange(streams * LANES) * bins
        made = []
        for _ in range(stretch.tokens):
            slot = states & (SCALE - 1)
            symbol = _bin_of(flat, rows, slot.flatten(), bins - 1)
            at = rows + symbol
            start = flat.index_select(0, at).view(slot.shape)
            frequency = flat.index_select(0, at + 1).view(slot.shape) - start
            made.append(symbol.view(slot.shape))
            after = frequency * (states >> SCALE_BITS) + slot - start
            takes = valid & (after < STATE_LOW)
            position = taken + takes.cumsum(1) - 1
            few |= (takes & (position >= left)).any(1)
            index = (first_word + position).clamp(0, len(words) - 1)
            word = words.index_select(0, index.flatten()).view(index.shape)
            after = torch.where(takes, (after << 16) | word, after)
            states = torch.where(valid, after, states)
            taken = taken + takes.sum(1, keepdim=True)
        every = token + torch.arange(stretch.tokens)
        at = (layer * out.shape[1] + every).unsqueeze(-1) * out.shape[2] + channel.unsqueeze(1)
        seen = valid.unsqueeze(1).expand(at.shape)
        target[at[seen]] = torch.stack(made, 1)[seen].to(torch.uint8)
    unfinished = (states != STATE_LOW).any(1)
    over = left - taken
    last = words[(end * 2 - 1).clamp(min=0)]
    surplus = ((over > 1) | ((over == 1) & (last != 0))).flatten()
    out_of = []
    for i, number in enumerate(stretch.numbers):
        for wrong, why in (
            (low, "a state below its range"),
            (few, "too few words"),
            (unfinished, "a lane that does not end where it began"),
            (surplus, "words that no lane takes"),
        ):
            if wrong[i]:
                out_of.append((number, why))
                break
    return out_of


def _bin_of(flat: torch.Tensor, rows: torch.Tensor, slot: torch.Tensor, bins: int) -> torch.Tensor:
    """The last of ``bins`` bins that starts at or before the slot; empty ones start where the next
    does. Halving steps of few operators: torch.searchsorted starts threads for every call."""
    import torch

    found = torch.zeros_like(slot)
    for bit in reversed(range((bins - 1).bit_length())):
        tried = (found + (1 << bit)).clamp(max=bins - 1)
        found = torch.where(flat.index_select(0, rows + tried) <= slot, tried, found)
    return found


def _corner(stretch: Stretch) -> tuple[torch.Tensor, torch.Tensor]:
    """Layer and first token of each stream, ``[streams, 1]``."""
    import torch

    layer = torch.tensor([p.layer for p in stretch.places]).unsqueeze(1)
    return layer, torch.tensor([p.token for p in stretch.places]).unsqueeze(1)


def _channels(stretch: Stretch, row: int, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The channel of every lane in a row, and whether there is one, ``[streams, lanes]``."""
    import torch

    first = torch.tensor([(p.row + row) * LANES for p in stretch.places]).unsqueeze(1)
    channel = first + torch.arange(LANES)
    valid = channel < channels
    return channel.clamp(max=channels - 1), valid
