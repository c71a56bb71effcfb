"""Layers in host memory, something to compute with them, and what must come out."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import torch

from accel import Backend, Capability
from accel.pipeline import Layer
from accel.providers import Stream

from .byte_compare import assert_same_bytes, host_copy, random_bytes
from .guards import Guards, Memory

__all__ = ["LayerWork", "layer_work"]

_DTYPES = (torch.bfloat16, torch.float32, torch.int8, torch.uint8, torch.int64, torch.bool)
_DELAY_BYTES = 1 << 20


class LayerWork:
    """The ``layer_work`` fixture. Everything is allocated before a loop, nothing within it."""

    def __init__(self, backend: Backend, guarded: Guards, rng: torch.Generator, seed: int) -> None:
        self.backend, self.dice = backend, random.Random(seed)
        self._guarded, self._rng = guarded, rng
        self._outputs: dict[tuple[int, int], list[torch.Tensor]] = {}
        self._expected: dict[tuple[int, int], list[torch.Tensor]] = {}
        self._junk = torch.zeros((2, _DELAY_BYTES), dtype=torch.uint8, device=backend.device)

    # --- layers ----------------------------------------------------------------------------

    def layers(self, count: int, *, pinned: bool = False, equal: bool = False) -> list[Any]:
        """Layers of all forms, shapes and dtypes, or of one shape, full of random bytes."""
        memory: Memory = "pinned" if pinned else "host"
        if equal:
            return [self._host((700, 7), torch.float32, memory) for _ in range(count)]
        return [self._layer(memory) for _ in range(count)]

    def _layer(self, memory: Memory) -> Any:
        pick = self.dice.choice
        tensors = [
            self._host(
                [pick((1, 2, 3, 17, 64)) for _ in range(pick((0, 1, 2, 3)))], pick(_DTYPES), memory
            )
            for _ in range(pick((1, 1, 2, 3)))
        ]
        if len(tensors) > 1 and pick((False, True)):
            tensors[0] = self._host((0, 3), torch.float32, memory)
        if len(tensors) == 1 and pick((False, True)):
            return tensors[0]
        return pick((list, tuple, lambda given: {f"t{i}": t for i, t in enumerate(given)}))(tensors)

    def _host(self, shape: Iterable[int], dtype: torch.dtype, memory: Memory) -> torch.Tensor:
        extents = tuple(shape)
        return self._guarded(
            extents, dtype, memory=memory, init=random_bytes(extents, dtype, self._rng)
        )

    def change(self, layers: Iterable[Any]) -> None:
        """Other random bytes in the host's tensors."""
        for layer in layers:
            for tensor in self.tensors(layer):
                tensor.copy_(random_bytes(tensor.shape, tensor.dtype, self._rng))

    @staticmethod
    def tensors(layer: Any) -> list[torch.Tensor]:
        """A layer's tensors, in order."""
        if isinstance(layer, torch.Tensor):
            return [layer]
        return list(layer.values() if isinstance(layer, Mapping) else layer)

    # --- work ------------------------------------------------------------------------------

    def prepare(self, number: int, layers: list[Any]) -> None:
        """Outputs of pass ``number``, and what they must hold: the layers as they are now."""
        for index, layer in enumerate(layers):
            given = self.tensors(layer)
            self._outputs[number, index] = [self._guarded(tuple(t.shape), t.dtype) for t in given]
            self._expected[number, index] = [host_copy(t) for t in given]
        self.backend.streams.default().synchronize()

    def compute(self, number: int, layer: Layer, stream: Stream) -> None:
        """Queue the work of one layer: its tensors are copied out."""
        given = self.tensors(layer.tensors)
        for out, tensor in zip(self._outputs[number, layer.index], given, strict=True):
            self.backend.memcpy.copy_async(out, tensor, stream)

    def delay(self, stream: Stream, most: float = 0.002) -> None:
        """Hold ``stream`` for a random while: by a callback, or copies where there are none."""
        seconds = self.dice.choice((0.0, 0.2, 1.0)) * most
        if not seconds:
            return
        if Capability.STREAM_CALLBACK in self.backend.capabilities:
            stream.add_callback(lambda: time.sleep(seconds))
            return
        for _ in range(self.dice.randrange(1, 5)):
            self.backend.memcpy.copy_async(self._junk[0], self._junk[1], stream)

    def check(self, number: int, indices: Iterable[int]) -> None:
        """The layers of pass ``number`` came out right. The compute stream is synchronised."""
        for index in indices:
            pairs = zip(self._outputs[number, index], self._expected[number, index], strict=True)
            for i, (out, expected) in enumerate(pairs):
                assert_same_bytes(out, expected, f"pass {number}, layer {index}, tensor {i}")


@pytest.fixture
def layer_work(backend: Backend, guarded: Guards, rng: torch.Generator, seed: int) -> LayerWork:
    """A :class:`LayerWork` of the backend under test."""
    return LayerWork(backend, guarded, rng, seed)
