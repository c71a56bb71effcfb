"""A backend of CPU memory whose copies run late, on stream threads: it shows missing waits."""

from __future__ import annotations

import queue
import random
import threading
import time
import types
from typing import Any

import torch


class Event:
    def __init__(self) -> None:
        self._snapshot = threading.Event()
        self._snapshot.set()

    def record(self, stream: Stream | None = None) -> None:
        self._snapshot = threading.Event()
        (stream or Streams.main).give(self._snapshot.set)

    def synchronize(self) -> None:
        assert self._snapshot.wait(20), "an event was never reached"

    def snapshot(self) -> threading.Event:
        return self._snapshot


class Stream:
    def __init__(self, seed: int) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()
        self._random = random.Random(seed)
        threading.Thread(target=self._loop, daemon=True).start()

    def give(self, work: Any) -> None:
        self._queue.put(work)

    def _loop(self) -> None:
        while True:
            work = self._queue.get()
            time.sleep(self._random.choice((0, 0, 0.002, 0.01)))
            work()

    def wait_event(self, event: Event) -> None:
        snapshot = event.snapshot()
        self.give(lambda: snapshot.wait(20))

    def synchronize(self) -> None:
        done = threading.Event()
        self.give(done.set)
        assert done.wait(20), "a stream does not drain"


class Streams:
    main: Stream

    def __init__(self, seed: int) -> None:
        Streams.main = Stream(seed)
        self._seed = seed

    def current(self) -> Stream:
        return Streams.main

    def create(self, priority: int = 0) -> Stream:
        self._seed += 1
        return Stream(self._seed)


class SlowBackend:
    """As much of a Backend as staging needs. Fresh pinned memory is poisoned."""

    def __init__(self, seed: int) -> None:
        self.device = torch.device("cpu")
        self.info = types.SimpleNamespace(name="slow", device_type="cpu")
        self.streams = Streams(seed)
        self.events = types.SimpleNamespace(create=Event)
        self.pinned = types.SimpleNamespace(empty=self._empty)
        self.memcpy = types.SimpleNamespace(copy_async=self._copy_async)
        self.copies = 0

    @staticmethod
    def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        flat = torch.full((torch.Size(shape).numel() * dtype.itemsize,), 0xA5, dtype=torch.uint8)
        return flat.view(dtype).reshape(shape)

    def _copy_async(self, dst: torch.Tensor, src: torch.Tensor, stream: Stream) -> None:
        self.copies += 1
        stream.give(lambda: dst.copy_(src))

    def write(self, tensor: torch.Tensor, values: torch.Tensor) -> None:
        """Fill ``tensor`` on the main stream, late."""
        Streams.main.give(lambda: tensor.copy_(values))

    def read(self, tensor: torch.Tensor) -> torch.Tensor:
        """What ``tensor`` holds at this point of the main stream."""
        seen: list[torch.Tensor] = []
        Streams.main.give(lambda: seen.append(tensor.clone()))
        Streams.main.synchronize()
        return seen[0]
