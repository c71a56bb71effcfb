"""Programs that ask a vendor's device of torch for what every such device must give.

Texts of programs for :meth:`accel_sim.Simulation.python`, and what their results must be: every
simulator's tests use them for the device that it brings.
"""

from __future__ import annotations

import ast
import json
import signal
from collections.abc import Callable, Iterable

from .simulation import Simulation

__all__ = [
    "MODEL",
    "PAGEABLE",
    "RACES",
    "STREAMS",
    "TRESPASS",
    "check_guard",
    "check_order",
    "check_races",
    "check_right_programs",
    "check_training",
]

#: Races, each beside the same program done right: a wait for another stream, ``record_stream``, a
#: synchronisation before the host reads. Takes torch's name of the device, and prints how often
#: each came out wrong, as JSON.
RACES = """
import json, sys, torch

DEVICE = sys.argv[1]
devices = getattr(torch, DEVICE)
N, ROUNDS = 1 << 14, 12
side = devices.Stream()
main = devices.current_stream()


def wait_stream(value, right):
    x = torch.full((N,), -1.0, device=DEVICE)
    y = torch.empty_like(x)
    devices.synchronize()
    x.fill_(value)
    if right:
        side.wait_stream(main)
    with devices.stream(side):
        y.copy_(x)
    devices.synchronize()
    return y.cpu()


def record_stream(value, right):
    x = torch.full((N,), value, device=DEVICE)
    y = torch.empty_like(x)
    side.wait_stream(main)
    with devices.stream(side):
        y.copy_(x)
    if right:
        x.record_stream(side)
    del x
    torch.full((N,), -1.0, device=DEVICE)  # takes the memory that is free by now
    devices.synchronize()
    return y.cpu()


def host_read(value, right):
    x = torch.full((N,), value, device=DEVICE)
    host = torch.full((N,), -1.0).pin_memory()
    host.copy_(x, non_blocking=True)
    if right:
        main.synchronize()
    seen = host.clone()
    devices.synchronize()
    return seen


wrong = {}
for program in (wait_stream, record_stream, host_read):
    for right in (False, True):
        count = sum(
            not program(float(value), right).eq(value).all() for value in range(1, ROUNDS + 1)
        )
        wrong[program.__name__ + (" right" if right else "")] = count
print(json.dumps(wrong))
"""

#: Two streams hand a tensor to and fro by events; then one event after another is waited for.
STREAMS = """
import sys, torch

DEVICE = sys.argv[1]
devices = getattr(torch, DEVICE)
a, b = devices.Stream(), devices.Stream()
x = torch.zeros(1 << 14, device=DEVICE)
devices.synchronize()
for value in range(1, 20):
    with devices.stream(a):
        x.fill_(value)
        x.add_(value)
        done = a.record_event()
    b.wait_event(done)
    with devices.stream(b):
        y = x * 2
    b.synchronize()
    assert done.query() and b.query()
    assert y.cpu().eq(4 * value).all(), value
    a.wait_stream(b)
fresh = devices.Event()
assert fresh.query()
devices.current_stream().wait_event(fresh)
devices.synchronize()
assert isinstance(done, devices.Event) and devices.current_stream() != a
print("ok")
"""

#: Asynchronous copies of pageable memory return when they have run.
PAGEABLE = """
import sys, torch

device = torch.empty(1 << 16, device=sys.argv[1])
for value in range(12):
    host = torch.full((1 << 16,), float(value))
    device.copy_(host, non_blocking=True)
    host.fill_(-1)  # too late to be seen
    assert device.cpu().eq(value).all(), value
print("ok")
"""

#: Reads a device's memory from the host, which must end the program.
TRESPASS = """
import ctypes, sys, torch

x = torch.ones(1000, device=sys.argv[1])
getattr(torch, sys.argv[1]).synchronize()
print(ctypes.c_float.from_address(x.data_ptr()).value)
"""

#: Definitions for training a small network: ``make()``, ``batch(step)``, ``train(model, device)``,
#: which gives the losses. Append what is to be done with them.
MODEL = """
import torch
from torch import nn

def make():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 32), nn.ReLU(),
        nn.Linear(32, 4),
    )

def batch(step, size=24):
    data = torch.Generator().manual_seed(step)
    return torch.randn(size, 16, generator=data), torch.randint(4, (size,), generator=data)

def train(model, device, part=slice(None), steps=12):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for step in range(steps):
        inputs, labels = (t[part].to(device, non_blocking=True) for t in batch(step))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""


def check_races(
    simulation: Callable[..., Simulation], device: str, seeds: Iterable[int] = range(1, 5)
) -> None:
    """Each race shows with a seed, and what is done right gives the right answer with all of them.

    Args:
        simulation: makes the simulation from modes.
        device: torch's name of the device.
    """
    tried = list(seeds)
    found = [
        json.loads(simulation(seed=seed, delay_us=500).python(RACES, device).last) for seed in tried
    ]
    for program in ("wait_stream", "record_stream", "host_read"):
        wrong = [one[program] for one in found]
        right = [one[f"{program} right"] for one in found]
        assert any(wrong), f"{program}: no seed of {tried} shows the race"
        assert not any(right), f"{program}: wrong though it waits, by seeds {right}"


def check_right_programs(simulation: Simulation, device: str) -> None:
    """What is done right is right, whatever the modes."""
    wrong = json.loads(simulation.python(RACES, device).last)
    assert not any(count for name, count in wrong.items() if name.endswith("right")), wrong


def check_order(simulation: Simulation, device: str) -> None:
    """Streams keep to events, and pageable copies to the host's order."""
    for program in (STREAMS, PAGEABLE):
        assert simulation.python(program, device).last == "ok"


def check_guard(simulation: Simulation, device: str) -> None:
    """The host that reads device memory ends by SIGSEGV."""
    done = simulation.python(TRESPASS, device, check=False)
    assert done.returncode == -signal.SIGSEGV
    assert done.stdout == ""


def check_training(simulation: Simulation, device: str) -> None:
    """The network learns, and its losses are those of the CPU, within 1e-4 of each."""
    code = f"{MODEL}print(train(make(), 'cpu'))\nprint(train(make().to('{device}'), '{device}'))\n"
    expected, found = map(ast.literal_eval, simulation.python(code).lines[-2:])
    assert expected[-1] < expected[0]
    assert all(abs(a - b) <= 1e-4 * abs(a) for a, b in zip(expected, found, strict=True))
