"""Caches as numpy says they lie: what a layout means, by transposing one logical array.

Independent of accel.kv: a cache's contents are an array ``[L, K, B, S, H, D1, D0]`` of bytes of
elements, and a layout is an order of its axes, with guard bytes around every tensor.
"""

from __future__ import annotations

import itertools
import random

import numpy as np
import torch

from accel.kv import KVCache

_AXES = ("L", "K", "B", "S", "H", "D1", "D0")
_GUARD = 96  # bytes before and behind


class Image:
    """One cache in host memory that stands for the device's, and its logical contents."""

    def __init__(self, layout, *, layers, planes, blocks, size, heads, dim, itemsize, rng, skew=0,
                 split=None):  # fmt: skip
        outer, inner = (part.split() for part in layout.split("|"))
        split = split if "D0" in inner else 1
        planes = planes if "K" in outer + inner else 1
        shape = (layers, planes, blocks, size, heads, dim // split, split)
        self.sizes = dict(zip(_AXES, shape, strict=True))
        self.logical = rng.integers(0, 256, (*shape, itemsize), dtype=np.uint8)
        self.itemsize, self.layout, self.inner, self.outer = itemsize, layout, inner, outer
        self.skew = skew * itemsize
        counts = [range(self.sizes[a]) for a in outer]
        self.tensors, self.memory = {}, {}
        for at in itertools.product(*counts):
            part = self._part(self.logical, at)
            # Aligned by numpy to no more than 16: the base is put where `skew` says.
            raw = rng.integers(0, 256, part.size + 2 * _GUARD + 64 + self.skew, dtype=np.uint8)
            begin = -(raw.ctypes.data + _GUARD) % 64 + _GUARD + self.skew
            raw[begin : begin + part.size] = part.ravel()
            self.memory[at] = (raw, begin, part.shape)
            kind = {1: torch.uint8, 2: torch.bfloat16, 4: torch.float32}[itemsize]
            flat = torch.from_numpy(raw[begin : begin + part.size]).view(kind)
            self.tensors[at] = flat.view(self._shape())
        self.slots = blocks * size

    def _extent(self, letter):
        if letter == "T":
            return self.sizes["B"] * self.sizes["S"]
        if letter == "D":
            return self.sizes["D1"] * self.sizes["D0"]
        return self.sizes[letter]

    def _shape(self):
        return [self._extent(letter) for letter in self.inner]

    def _part(self, logical, at):
        """The bytes of one tensor, in the order of its memory."""
        names = {"T": ("B", "S"), "D": ("D1", "D0")}
        order = [a for letter in self.inner for a in names.get(letter, (letter,))]
        missing = [a for a in _AXES if a not in order and a not in self.outer]
        picked = logical
        for letter, index in zip(self.outer, at, strict=True):
            axis = _AXES.index(letter)
            picked = np.take(picked, [index], axis)
        axes = [_AXES.index(a) for a in (*self.outer, *missing, *order)] + [len(_AXES)]
        return np.ascontiguousarray(picked.transpose(axes))

    def cache(self):
        def nest(prefix, axes):
            if not axes:
                return self.tensors[prefix]
            return [nest((*prefix, i), axes[1:]) for i in range(self.sizes[axes[0]])]

        flat = None if "B" in self.inner else self.sizes["S"]
        return KVCache(nest((), self.outer), self.layout, block_size=flat)

    def regions(self, writable):
        """(address, bytes, writable) of each tensor, without its guards."""
        return [
            (raw.ctypes.data + begin, int(np.prod(shape)), writable)
            for raw, begin, shape in self.memory.values()
        ]

    def snapshot(self):
        return {at: raw.copy() for at, (raw, _, _) in self.memory.items()}

    def tokens(self, logical=None):
        """``[slots, L, K, H, D, itemsize]``, a copy."""
        moved = np.moveaxis(self.logical if logical is None else logical, (2, 3), (0, 1))
        d = self.sizes["D1"] * self.sizes["D0"]
        layers, planes, heads = self.sizes["L"], self.sizes["K"], self.sizes["H"]
        return moved.reshape(self.slots, layers, planes, heads, d, self.itemsize).copy()

    def with_tokens(self, tokens):
        sizes = [self.sizes[a] for a in ("B", "S", "L", "K", "H", "D1", "D0")]
        return np.moveaxis(tokens.reshape(*sizes, self.itemsize), (0, 1), (2, 3))

    def check(self, before, tokens):
        """Memory holds ``tokens`` and, around them, what was there before."""
        logical = self.with_tokens(tokens)
        for at, (raw, begin, shape) in self.memory.items():
            expected = before[at].copy()
            expected[begin : begin + int(np.prod(shape))] = self._part(logical, at).ravel()
            wrong = np.flatnonzero(raw != expected)
            assert not len(wrong), f"{self.layout} {at}: byte {wrong[0] - begin} of {shape}"


def moved(src, dst, pairs):
    """What ``dst`` holds after tokens went from ``src``, by a loop over tokens."""
    source, target = src.tokens(), dst.tokens()
    for s, d in pairs:
        if s >= 0 and d >= 0 and s < src.slots and d < dst.slots:
            target[d] = source[s]
    return target


def as_tokens(pairs, size):
    """Pairs of blocks as pairs of tokens."""
    return [
        (s * size + i, d * size + i) if s >= 0 and d >= 0 else (-1, -1)
        for s, d in pairs
        for i in range(size)
    ]


def some_pairs(src_units, dst_units, count, rng: random.Random, *, runs=False):
    """Distinct destinations, some padding; ``runs``: stretches that follow one another."""
    dst = rng.sample(range(dst_units), min(count, dst_units))
    src = [rng.randrange(src_units) for _ in dst]
    if runs:
        dst.sort()
        first = rng.randrange(max(1, src_units - len(dst)))
        src = [min(first + i, src_units - 1) for i in range(len(dst))]
    pairs = list(zip(src, dst, strict=True))
    for at in range(1, len(pairs), 7):
        pairs[at] = (-1, pairs[at][1]) if at % 2 else (pairs[at][0], -9)
    return pairs
