"""Ports for ranks: free, and none that a connection could take before them."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import pytest

from accel_conformance import listening


def test_it_can_be_listened_at() -> None:
    with socket.create_server(("127.0.0.1", listening.free_port())) as server:
        assert server.getsockname()[1] >= 10_000


@pytest.mark.parametrize(
    ("text", "limit"), [("20000\t60999\n", 20_000), ("", 32_768), ("1024 65535", 65_536)]
)
def test_below_what_the_system_hands_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, limit: int
) -> None:
    file = tmp_path / "range"
    file.write_text(text)
    monkeypatch.setattr(listening, "_HANDED_OUT", file)
    assert all(10_000 <= listening.free_port() < limit for _ in range(50))


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = socket.create_server(("127.0.0.1", listening.free_port()))
    other = listening.free_port()
    offered = iter([taken.getsockname()[1], other])
    monkeypatch.setattr(listening.random.SystemRandom, "randrange", lambda *_: next(offered))
    with taken:
        assert listening.free_port() == other


def test_when_nothing_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, address: Any) -> None:
        raise OSError(errno.EADDRINUSE, "in use")

    monkeypatch.setattr(listening.socket.socket, "bind", refuse)
    with pytest.raises(OSError, match="no free port"):
        listening.free_port()
