"""A backend in virtual time: work takes as long as it is told to, and nothing is left to chance.

All that matters is known when a call is made, so a stream is a number, the time at which its work
so far is done, and an event is the time at which it was reached.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from accel import Capabilities, Capability, Level, NotReadyError, StateError
from accel.providers import Events, Memcpy, Streams


class VirtualStream:
    device = torch.device("cpu")

    def __init__(self, priority=0):
        self.now = 0.0
        self.priority = priority

    def work(self, milliseconds):
        self.now += milliseconds

    def wait_event(self, event):
        self.now = max(self.now, event.at or 0.0)

    def record_event(self, event=None):
        event = event or VirtualEvent(False)
        event.record(self)
        return event

    def synchronize(self):
        """The host waits, and what it queues afterwards cannot start before."""
        VirtualStream.host.now = max(VirtualStream.host.now, self.now)
        for stream in VirtualStream.host.streams:
            stream.now = max(stream.now, VirtualStream.host.now)


class VirtualEvent:
    made = 0

    def __init__(self, timing):
        VirtualEvent.made += 1
        self.timing, self.at = timing, None

    def record(self, stream=None):
        self.at = stream.now

    def query(self):
        return VirtualStream.host.inline

    def synchronize(self):
        if self.at is None:
            raise NotReadyError("never recorded")

    def elapsed_time(self, end):
        for event in (self, end):
            if not event.timing or event.at is None:
                raise StateError("untimed or never recorded")
        return end.at - self.at


class VirtualStreams(Streams):
    def __init__(self):
        self.now = 0.0
        self.main = VirtualStream()
        self.streams = [self.main]
        self.inline = False  # the host waits for every copy
        VirtualStream.host = self

    def create(self, priority=0):
        self.streams.append(VirtualStream(priority))
        return self.streams[-1]

    def current(self):
        return self.main


class VirtualEvents(Events):
    def create(self, *, timing=False, interprocess=False):
        return VirtualEvent(timing)


class VirtualMemcpy(Memcpy):
    """A millisecond for 1000 bytes; ``fail_at`` is the number of the call that fails."""

    def __init__(self):
        self.fail_at = None
        self.calls = 0

    def copy_async(self, dst, src, stream=None):
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError("the copy engine is on holiday")
        dst.copy_(src)
        stream.work(dst.nbytes / 1000)
        if VirtualStream.host.inline:
            stream.synchronize()

    def copy_batch(self, dsts, srcs, stream=None):
        for dst, src in zip(dsts, srcs, strict=True):
            self.copy_async(dst, src, stream)


@pytest.fixture
def virtual():
    """``virtual(without=())``: the backend; streams and clocks start anew."""

    def make(without=()):
        kept = {
            c: Level.NATIVE
            for c in (
                Capability.STREAMS, Capability.EVENTS, Capability.EVENT_TIMING, Capability.COPY,
                Capability.COPY_BATCH,
            )
            if c not in without
        }  # fmt: skip
        VirtualEvent.made = 0
        return SimpleNamespace(
            name="virtual",
            device=torch.device("cpu"),
            capabilities=Capabilities(kept),
            streams=VirtualStreams(),
            events=VirtualEvents(),
            memcpy=VirtualMemcpy(),
            pinned=None,
            events_made=lambda: VirtualEvent.made,
        )

    return make
