"""The channel registry: order, keys, reasons, warnings; and that it needs no torch."""

from __future__ import annotations

import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator

import pytest

from accel.collectives import (
    ANY_DEVICE,
    Channel,
    channels_for,
    register_channel,
    unregister_channel,
    usable_channels,
)
from accel.collectives.channels import find_channel, select_channel
from accel.errors import AccelWarning, ArgumentError, CapabilityError


@pytest.fixture
def kind() -> Iterator[str]:
    """A device type of this test's own; its channels go with it."""
    name = f"kind-{uuid.uuid4().hex[:8]}"
    yield name
    for channel in channels_for(name):
        if channel.device_type == name:
            unregister_channel(name, channel.name)


def test_gloo_serves_every_device_type(kind: str) -> None:
    assert [c.name for c in channels_for(kind)] == ["gloo"]
    assert [c.name for c in usable_channels("cpu")] == ["gloo"]
    assert channels_for("cpu")[0].device_type == ANY_DEVICE


def test_order_is_the_documented_one(kind: str) -> None:
    for name in ("nixl", "other", "nccl", "hccl", "cncl"):
        register_channel(Channel(name, kind))
    names = [c.name for c in channels_for(kind)]
    assert names == ["hccl", "cncl", "nccl", "nixl", "other", "gloo"]


def test_names_of_two_device_types_do_not_collide(kind: str) -> None:
    register_channel(Channel("nccl", kind, torch_backend="mine"))
    second = kind + "-second"
    register_channel(Channel("nccl", second, torch_backend="other"))
    assert channels_for(kind)[0].torch_backend == "mine"
    assert channels_for(second)[0].torch_backend == "other"
    unregister_channel(second, "nccl")
    assert [c.name for c in channels_for(second)] == ["gloo"]


def test_a_device_types_own_channel_replaces_the_general_one(kind: str) -> None:
    own = Channel("gloo", kind, torch_backend="fast-gloo")
    register_channel(own)
    assert channels_for(kind) == (own,)


def test_registering_twice(kind: str) -> None:
    channel = Channel("nccl", kind)
    register_channel(channel)
    register_channel(Channel("nccl", kind))  # equal: nothing to say
    other = Channel("nccl", kind, averages=True)
    with pytest.raises(ArgumentError, match="already registered"):
        register_channel(other)
    assert channels_for(kind)[0] == channel
    register_channel(other, replace=True)
    assert channels_for(kind)[0] == other


def test_unregistering_what_is_not_there(kind: str) -> None:
    with pytest.raises(ArgumentError, match=f"name: expected .* given {kind}/nccl"):
        unregister_channel(kind, "nccl")


@pytest.mark.parametrize("bad", [("", "cpu"), ("nccl", ""), (None, "cpu")])
def test_bad_channels(bad: tuple[str, str]) -> None:
    with pytest.raises(ArgumentError):
        Channel(*bad)
    with pytest.raises(ArgumentError, match="channel: expected"):
        register_channel("nccl")  # type: ignore[arg-type]


def test_falling_back_warns_once_and_says_why(kind: str) -> None:
    register_channel(Channel("hccl", kind, unusable=lambda: "the driver is missing"))
    with pytest.warns(AccelWarning, match=r"use 'gloo' .* \(hccl: the driver is missing\)"):
        assert select_channel(kind, "test").name == "gloo"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert select_channel(kind, "test").name == "gloo"


def test_falling_back_because_of_another_rank(kind: str) -> None:
    register_channel(Channel("hccl", kind))
    with pytest.warns(AccelWarning, match="not usable on rank 3"):
        chosen = select_channel(kind, "test", {"hccl": "not usable on rank 3: no card"})
    assert chosen.name == "gloo"


def test_a_check_that_raises_is_a_reason(kind: str) -> None:
    def broken() -> str:
        raise OSError("libhccl.so: no such file")

    register_channel(Channel("hccl", kind, unusable=broken))
    assert "OSError: libhccl.so" in channels_for(kind)[0].why_unusable()
    assert [c.name for c in usable_channels(kind)] == ["gloo"]
    with pytest.raises(ArgumentError, match=r"channel: expected a usable channel.*libhccl"):
        find_channel(kind, "hccl")


def test_nothing_usable_is_a_capability_error(kind: str) -> None:
    register_channel(Channel("gloo", kind, unusable=lambda: "no network"))
    with pytest.raises(CapabilityError, match="gloo: no network"):
        select_channel(kind, "test")


@pytest.mark.parametrize("name", ["nixl", "nccl", "nosuch", ""])
def test_unknown_names_list_what_there_is(name: str) -> None:
    with pytest.raises(ArgumentError, match="'cpu' devices: gloo"):
        find_channel("cpu", name)


def test_the_registry_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from accel.collectives import Channel, TorchCollectives, register_channel, channels_for\n"
        "register_channel(Channel('nccl', 'cuda'))\n"
        "assert [c.name for c in channels_for('cuda')] == ['nccl', 'gloo']\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
