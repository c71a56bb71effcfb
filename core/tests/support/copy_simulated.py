"""What a vendor's kernels must do end to end on its simulator: built by ``accel build-kernels``,
loaded and launched through the vendor's runtime. A test module of a backend takes these by ``from
copy_simulated import *``, beside a fixture ``vendor`` (a `Simulated`). No result of hardware.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass

import pytest

BUILD = """
import json
from accel_@BACKEND@ import kernel_builder
chip = kernel_builder.BUILDER.chip_here()
built = [kernel_builder.BUILDER.build(job) for job in kernel_builder.BUILDER.jobs(chip)]
print("built", json.dumps([chip, [b.bytes > 0 for b in built]]))
"""

BEGIN = """
import json, sys, torch, accel
from accel.capabilities import Capability
from accel.kv import KVCache
backend = accel.get_backend("@BACKEND@")
kv = backend.kv
def cache(layout, dtype=torch.bfloat16):
    made = KVCache.allocate(layout, layers=3, blocks=6, block_size=4, heads=2, head_dim=24,
                            dtype=dtype, device="@DEVICE@")
    for t in made.tensors:
        t.copy_(torch.randn(t.shape).to(dtype))
    torch.@DEVICE@.synchronize()
    return made
def tokens(c):
    torch.@DEVICE@.synchronize()
    return torch.stack([torch.stack([v.cpu().reshape(c.slots, -1) for v in row])
                        for row in c.views])
"""

MOVES = (
    BEGIN
    + """
a, b = cache("L | K B S H D"), cache("| B L K H S D")
stream = backend.streams.create()
source, target = tokens(a), tokens(b)
for where in ("cpu", "@DEVICE@"):
    src = torch.tensor([5, 6, 7, -1, 20, 3], device=where)
    dst = torch.tensor([8, 9, 10, 0, 2, -4], device=where)
    kv.transfer(a, b, src, dst, stream=stream)
    stream.synchronize()
    target[:, :, [8, 9, 10, 2]] = source[:, :, [5, 6, 7, 20]]
    assert torch.equal(tokens(b), target), where
kv.transfer(a, b, torch.tensor([0, 2]), torch.tensor([5, 1]), grain="block")
for s, d in ((0, 5), (2, 1)):
    target[:, :, 4 * d : 4 * d + 4] = source[:, :, 4 * s : 4 * s + 4]
assert torch.equal(tokens(b), target)
kv.copy_blocks(a, torch.tensor([[0, 1], [3, 4]], device="@DEVICE@"))
source[:, :, 4:8], source[:, :, 16:20] = source[:, :, 0:4].clone(), source[:, :, 12:16].clone()
assert torch.equal(tokens(a), source)
key = torch.randn(5, 2, 24).bfloat16().@DEVICE@()
value = torch.randn(5, 2, 24).bfloat16().@DEVICE@()
for where in ("cpu", "@DEVICE@"):
    kv.write(b, 1, key, value, torch.tensor([23, -1, 11, 0], device=where))
    for i, slot in ((0, 23), (2, 11), (3, 0)):
        target[1, 0, slot], target[1, 1, slot] = key.cpu()[i].flatten(), value.cpu()[i].flatten()
    assert torch.equal(tokens(b), target), where
c = cache("K L | T H D")
expected = tokens(c)
table, lens = torch.tensor([[2, 0], [1, 3]]), torch.tensor([5, 6])
for where in ("cpu", "@DEVICE@"):
    kv.gather(a, c, table.to(where), lens.to(where))
    expected[:, :, :11] = source[:, :, [8, 9, 10, 11, 0, 4, 5, 6, 7, 12, 13]]
    assert torch.equal(tokens(c), expected), where
kv.transfer(a, b, torch.tensor([1, 99], device="@DEVICE@"), torch.tensor([3, 4], device="@DEVICE@"),
            stream=stream)
try:
    stream.synchronize()
    said = ""
except accel.AsyncError as error:
    said = repr(error.__cause__)
target[:, :, 3] = source[:, :, 1]
assert torch.equal(tokens(b), target)
level = backend.capabilities[Capability.KV_TRANSFER].name
print("moved", json.dumps([level, list(kv.notes), said]))
"""
)

WITHOUT = (
    BEGIN
    + """
print("level", json.dumps([backend.capabilities[Capability.KV_TRANSFER].name,
                           list(kv.notes)]))
"""
)

WRONG = (
    BEGIN
    + """
from accel.kv.plan import plan_transfer
a, b = cache("L | K B S H D"), cache("L | K B S H D")
plan = plan_transfer(a.geometry, b.geometry)
host = torch.zeros(1 << 16)
outcomes = []
for pointers in ([p + (1 << 40) for p in b.pointers], [host.data_ptr()] * len(b.pointers)):
    wrong = kv.device_kernels.plan(plan, a.pointers, pointers)
    stream = backend.streams.create()
    kv.device_kernels.copy(wrong, torch.tensor([1]), torch.tensor([2]), 1, stream.submit_handle())
    try:
        stream.synchronize()
        outcomes.append("")
    except accel.AccelError as error:
        outcomes.append(str(error))
print("wrong", json.dumps(outcomes))
"""
)

#: Binaries by backend, one for all tests of a session.
_BUILT: dict[str, str] = {}


@dataclass(frozen=True)
class Simulated:
    """A vendor's simulator and the plugin's names.

    Attributes:
        package: that a device's tests need; "" where the simulator brings it.
        cure: what installs it.
    """

    simulator: str
    backend: str
    device: str
    variable: str
    language: str
    package: str = ""
    cure: str = ""

    def program(self, text):
        return text.replace("@BACKEND@", self.backend).replace("@DEVICE@", self.device)


def _said(done, word):
    line = next(line for line in done.stdout.splitlines() if line.startswith(word + " "))
    return json.loads(line[len(word) :])


@pytest.fixture
def device(vendor, simulation, tmp_path_factory):
    """Starts programs under the simulator, with the kernels built."""
    if vendor.package and importlib.util.find_spec(vendor.package) is None:
        pytest.skip(f"{vendor.package} is not installed; {vendor.cure}")

    def make(**options):
        if vendor.backend not in _BUILT:
            folder = tmp_path_factory.mktemp("kernels") / "built"
            variables = {vendor.variable: str(folder)}
            done = simulation(vendor.simulator, variables=variables).python(vendor.program(BUILD))
            assert done.returncode == 0, done.stderr
            assert _said(done, "built") == ["simulator", [True]]
            _BUILT[vendor.backend] = str(folder)
        variables = {vendor.variable: _BUILT[vendor.backend], **options.pop("variables", {})}
        return simulation(vendor.simulator, variables=variables, **options)

    return make


def levels_without(vendor, device, options):
    """The level of transfers, and the notes, where there are no kernels."""
    done = device(devices=1, **options).python(vendor.program(WITHOUT))
    assert done.returncode == 0, done.stderr
    return _said(done, "level")


def test_every_movement(vendor, device):
    """Lists on the host and on the device, with delays and strict checks."""
    done = device(delay_us=200, strict=True, devices=1).python(vendor.program(MOVES))
    assert done.returncode == 0, done.stderr
    level, notes, said = _said(done, "moved")
    assert level == "NATIVE"
    assert any(f"{vendor.language} kernels for simulator" in note for note in notes)
    assert "src_slots: expected indices below 24, given 99 at position 1" in said


def test_a_kernel_that_leaves_its_memory(vendor, device):
    """What the stand-in finds is an error of the stream, and nothing else is touched."""
    done = device(devices=1).python(vendor.program(WRONG))
    assert done.returncode == 0, done.stderr
    beyond, host = _said(done, "wrong")
    assert "a write of" in beyond, beyond
    assert "pageable host memory, which a device does not reach" in host, host
