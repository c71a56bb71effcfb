"""Messages between the ranks of a gloo process group, made safe.

gloo matches a message to a receive by a 31-bit tag and ends the receiving *process* when the
message is longer than the buffer; a shorter one passes silently. And a receive whose peer dies in
the middle of the message is not told, and waits until its time runs out. So every payload is
followed by a label that describes it in words, and the payload's tag depends on that description:

* Two ranks that disagree see it from the labels, and their payloads never meet.
* The receiver waits for the label, which gloo does end when the peer dies. Receives are posted
  payload first, so the payload has arrived when the label has.

Both travel at once: the label costs no round trip.

Tags, from the highest bit: 1 bit collective or point to point, 1 bit label or payload; then 29
bits of checksum for collectives, or 16 bits of the caller's tag and 13 of checksum. In a correct
program a checksum collision does no harm: messages of one tag keep their order.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import torch

from .failures import Deadline, TransportError, looks_like_timeout

__all__ = ["MAX_TAG", "Edge", "Exchange", "MessageGroup"]

MAX_TAG = (1 << 16) - 1

_P2P = 1 << 30
_PAYLOAD = 1 << 29
_LABEL_BYTES = 160
_PROBE_TAG = _P2P | 1
_ABORT_TAG = _P2P | 2
_PROBE_SECONDS = 0.25
#: What a socket takes at once, as a rule, so that the send is over when it was posted.
_AT_ONCE_BYTES = 32 << 10


class Edge(NamedTuple):
    """One message: contiguous host memory to or from ``peer``, described in words."""

    peer: int
    data: torch.Tensor
    what: str


def _as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    # A contiguous tensor of one element may have any strides; view() minds, as_strided does not.
    return tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8)


def _label(what: str) -> torch.Tensor:
    text = what.encode()
    if len(text) > _LABEL_BYTES:
        # The checksum still tells long descriptions apart.
        text = text[: _LABEL_BYTES - 9] + b"%%%08x" % zlib.crc32(text)
    return torch.frombuffer(bytearray(text.ljust(_LABEL_BYTES)), dtype=torch.uint8)


def _tags(what: str, tag: int | None) -> tuple[int, int]:
    checksum = zlib.crc32(what.encode())
    if tag is None:
        return 0, _PAYLOAD | checksum & (_PAYLOAD - 1)
    base = _P2P | tag << 13
    return base, base | _PAYLOAD | checksum & 0x1FFF


class MessageGroup:
    """Posts and awaits messages in one process group. Ranks count within the group."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self.rank: int = group.rank()
        self.size: int = group.size()

    def post(self, way: str, data: torch.Tensor, peer: int, tag: int) -> Any:
        """Start one message; TransportError when the connection is gone already."""
        try:
            return getattr(self._group, way)([data], peer, tag)
        except RuntimeError as error:
            raise TransportError("lost", peer, str(error)) from error

    def wait(self, work: Any, peer: int, deadline: Deadline) -> None:
        """Block until a posted message has passed.

        When time runs out gloo closes all connections of the group, on this rank and so on all.
        """
        try:
            work.wait(timedelta(seconds=deadline.remaining()))
        except RuntimeError as error:
            kind = "timeout" if looks_like_timeout(error) else "lost"
            raise TransportError(kind, peer, str(error), deadline.seconds) from error

    def wait_sent(self, work: Any, peer: int, nbytes: int, deadline: Deadline) -> None:
        """:meth:`wait` for a send, also when the peer dies while the bytes are on their way.

        gloo leaves such a send waiting until its time runs out, and nothing can end that wait. So
        another thread waits, and this one looks from time to time whether the connection lives.
        """
        if nbytes <= _AT_ONCE_BYTES:
            self.wait(work, peer, deadline)
            return
        over = threading.Event()
        failure: list[TransportError] = []

        def run() -> None:
            try:
                self.wait(work, peer, deadline)
            except TransportError as error:
                failure.append(error)
            over.set()

        threading.Thread(target=run, name="accel-send", daemon=True).start()
        while not over.wait(_PROBE_SECONDS):
            # Posting on a closed connection raises; on a live one nothing ever answers this.
            self.post("recv", torch.empty(1, dtype=torch.uint8), peer, _PROBE_TAG)
        if failure:
            raise failure[0]

    def exchange(
        self,
        sends: Sequence[Edge],
        receives: Sequence[Edge],
        *,
        tag: int | None = None,
    ) -> Exchange:
        """Start several messages at once. ``tag`` is a point-to-point tag, None in a collective."""
        return Exchange(self, sends, receives, tag)

    def abort(self) -> None:
        """Close all connections: every wait in flight, here and on the peers, ends in an error.

        gloo has no call for it (its ``abort`` does nothing), but a receive whose time runs out
        closes all connections of its group.
        """
        # With several network interfaces a group has several sets of connections, by tag.
        sets = len(os.environ.get("GLOO_SOCKET_IFNAME", "").split(","))
        scratch = torch.empty(1, dtype=torch.uint8)
        for number in range(sets):
            for step in range(1, self.size):
                peer = (self.rank + step) % self.size
                try:
                    work = self._group.recv([scratch], peer, _ABORT_TAG + number)
                    work.wait(timedelta(milliseconds=1))
                except RuntimeError as error:
                    if looks_like_timeout(error):
                        break  # the point of the call; otherwise this peer was gone already


class Exchange:
    """Messages under way. Receives are awaited one by one, in any order; then :meth:`finish`."""

    def __init__(
        self,
        group: MessageGroup,
        sends: Sequence[Edge],
        receives: Sequence[Edge],
        tag: int | None,
    ) -> None:
        self._group = group
        self._sends: list[tuple[Any, int, int]] = []
        self._receives: dict[int, list[tuple[str, torch.Tensor, Any, Any]]] = {}
        for peer, data, what in receives:
            label_tag, data_tag = _tags(what, tag)
            label = torch.empty(_LABEL_BYTES, dtype=torch.uint8)
            payload = None
            if data.numel():
                payload = group.post("recv", _as_bytes(data), peer, data_tag)
            announced = group.post("recv", label, peer, label_tag)
            self._receives.setdefault(peer, []).append((what, label, announced, payload))
        for peer, data, what in sends:
            label_tag, data_tag = _tags(what, tag)
            for payload, its_tag in ((_as_bytes(data), data_tag), (_label(what), label_tag)):
                if payload.numel():
                    sent = group.post("send", payload, peer, its_tag)
                    self._sends.append((sent, peer, payload.numel()))

    def receive(self, peer: int, deadline: Deadline) -> None:
        """Block until everything from ``peer`` is in its buffers.

        Raises:
            TransportError: time ran out, the connection is gone, or the peer sent something else.
        """
        for what, label, announced, payload in self._receives.pop(peer, ()):
            self._group.wait(announced, peer, deadline)
            if not torch.equal(label, _label(what)):
                theirs = bytes(label.tolist()).decode(errors="replace").rstrip()
                raise TransportError(
                    "mismatch", peer, f"this rank is in [{what}], the peer is in [{theirs}]"
                )
            if payload is not None:
                self._group.wait(payload, peer, deadline)

    def finish(self, deadline: Deadline) -> None:
        """Block until all remaining messages have passed and buffers may be reused."""
        for peer in tuple(self._receives):
            self.receive(peer, deadline)
        for work, peer, nbytes in self._sends:
            self._group.wait_sent(work, peer, nbytes, deadline)
        self._sends.clear()
