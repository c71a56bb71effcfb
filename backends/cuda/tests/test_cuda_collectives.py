"""What the provider claims and registers, on machines that torch says to have so many GPUs."""

from __future__ import annotations

import types
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist

from accel.capabilities import Capability, Level
from accel.collectives import channels_for, unregister_channel
from accel.errors import ArgumentError
from accel_cuda.collectives import NCCL, CudaCollectives


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """``machine.provider(gpus, ranks, nccl)``; the channel goes with the test."""

    def provider(gpus: int, ranks: str | None = None, nccl: bool = True) -> CudaCollectives:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(dist, "is_nccl_available", lambda: nccl)
        if ranks is None:
            monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
        else:
            monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
        info = types.SimpleNamespace(name="cuda")
        device = torch.device("cuda", 0)
        return CudaCollectives(types.SimpleNamespace(device=device, info=info))

    known = [c for c in channels_for("cuda") if c.device_type == "cuda"]
    made = types.ModuleType("machine")
    made.provider = provider
    yield made
    if not known:
        unregister_channel("cuda", "nccl")


@pytest.mark.parametrize(("gpus", "ranks"), [(1, None), (1, "1"), (4, "4"), (8, "2"), (2, "")])
def test_a_gpu_for_every_rank_is_nccl(machine, gpus, ranks) -> None:
    provider = machine.provider(gpus, ranks)
    assert provider.channels() == ("nccl", "gloo")
    assert provider.capabilities == {Capability.COLLECTIVES: Level.NATIVE}
    assert "collectives by nccl" in provider.notes[0]
    assert len(provider.notes) == 1


@pytest.mark.parametrize(
    ("gpus", "ranks", "nccl", "why"),
    [
        (1, "2", True, "2 ranks share 1 GPU here (LOCAL_WORLD_SIZE), and NCCL takes one rank"),
        (2, "4", True, "4 ranks share 2 GPUs here"),
        (4, "2", False, "this torch was built without NCCL"),
    ],
)
def test_otherwise_gloo_and_the_reason(machine, gpus, ranks, nccl, why) -> None:
    provider = machine.provider(gpus, ranks, nccl)
    assert provider.channels() == ("gloo",)
    assert provider.capabilities == {
        Capability.COLLECTIVES: Level.STAGED,
        Capability.COLLECTIVE_TIMEOUT: Level.STAGED,
        Capability.P2P: Level.STAGED,
    }
    assert provider.notes[0] == "collectives by gloo, staged through pinned memory"
    assert provider.notes[1].startswith(f"no collectives by nccl: {why}")
    with pytest.raises(ArgumentError, match=r"channel: expected a usable channel, given 'nccl'"):
        provider.communicator(channel="nccl")


def test_without_torch_distributed_nothing_is_claimed(machine, monkeypatch) -> None:
    monkeypatch.setattr(dist, "is_available", lambda: False)
    provider = machine.provider(2)
    assert (provider.channels(), provider.capabilities) == ((), {})
    assert sum("without torch.distributed" in note for note in provider.notes) == 2


def test_building_twice_registers_one_channel(machine) -> None:
    machine.provider(2)
    machine.provider(2)
    assert [c for c in channels_for("cuda") if c.name == "nccl"] == [NCCL]
    assert (NCCL.averages, NCCL.tags, NCCL.staged) == (True, False, False)


def test_the_watchdog_of_nccl_comes_after_our_own_timeout() -> None:
    (timeout,) = NCCL.group_options(12.5).values()
    assert timeout.total_seconds() >= 12.5 + 300
