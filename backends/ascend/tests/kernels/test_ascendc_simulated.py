"""The AscendC kernels end to end on the CANN simulator: built by ``accel build-kernels``, loaded
and launched through ACL, beside the real torch_npu. Simulated: no result of hardware.
"""

from __future__ import annotations

import importlib.util
import json

import pytest

BUILD = """
import json
from accel_ascend import kernel_builder
chip = kernel_builder.BUILDER.chip_here()
built = [kernel_builder.BUILDER.build(job) for job in kernel_builder.BUILDER.jobs(chip)]
print("built", json.dumps([chip, [b.bytes > 0 for b in built]]))
"""

BEGIN = """
import json, sys, torch, accel
from accel.capabilities import Capability
from accel.kv import KVCache
backend = accel.get_backend("ascend")
kv = backend.kv
def cache(layout, dtype=torch.bfloat16):
    made = KVCache.allocate(layout, layers=3, blocks=6, block_size=4, heads=2, head_dim=24,
                            dtype=dtype, device="npu")
    for t in made.tensors:
        t.copy_(torch.randn(t.shape).to(dtype))
    torch.npu.synchronize()
    return made
def tokens(c):
    torch.npu.synchronize()
    return torch.stack([torch.stack([v.cpu().reshape(c.slots, -1) for v in row])
                        for row in c.views])
"""

MOVES = (
    BEGIN
    + """
a, b = cache("L | K B S H D"), cache("| B L K H S D")
stream = backend.streams.create()
source, target = tokens(a), tokens(b)
for where in ("cpu", "npu"):
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
kv.copy_blocks(a, torch.tensor([[0, 1], [3, 4]], device="npu"))
source[:, :, 4:8], source[:, :, 16:20] = source[:, :, 0:4].clone(), source[:, :, 12:16].clone()
assert torch.equal(tokens(a), source)
key = torch.randn(5, 2, 24).bfloat16().npu()
value = torch.randn(5, 2, 24).bfloat16().npu()
for where in ("cpu", "npu"):
    kv.write(b, 1, key, value, torch.tensor([23, -1, 11, 0], device=where))
    for i, slot in ((0, 23), (2, 11), (3, 0)):
        target[1, 0, slot], target[1, 1, slot] = key.cpu()[i].flatten(), value.cpu()[i].flatten()
    assert torch.equal(tokens(b), target), where
c = cache("K L | T H D")
expected = tokens(c)
table, lens = torch.tensor([[2, 0], [1, 3]]), torch.tensor([5, 6])
for where in ("cpu", "npu"):
    kv.gather(a, c, table.to(where), lens.to(where))
    expected[:, :, :11] = source[:, :, [8, 9, 10, 11, 0, 4, 5, 6, 7, 12, 13]]
    assert torch.equal(tokens(c), expected), where
kv.transfer(a, b, torch.tensor([1, 99], device="npu"), torch.tensor([3, 4], device="npu"),
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

#: Binaries, one for all tests of a session.
_BUILT: dict[str, str] = {}


def _said(done, word):
    line = next(line for line in done.stdout.splitlines() if line.startswith(word + " "))
    return json.loads(line[len(word) :])


@pytest.fixture
def npu(simulation, tmp_path_factory):
    if importlib.util.find_spec("torch_npu") is None:
        pytest.skip("torch-npu is not installed; `make conformance-ascend` installs it")

    def make(**options):
        if "folder" not in _BUILT:
            folder = tmp_path_factory.mktemp("kernels") / "built"
            variables = {"ACCEL_ASCEND_KERNELS": str(folder)}
            done = simulation("cann", variables=variables).python(BUILD)
            assert done.returncode == 0, done.stderr
            assert _said(done, "built") == ["simulator", [True]]
            _BUILT["folder"] = str(folder)
        variables = {"ACCEL_ASCEND_KERNELS": _BUILT["folder"], **options.pop("variables", {})}
        return simulation("cann", variables=variables, **options)

    return make


def test_every_movement(npu):
    """Lists on the host and on the device, with delays and strict checks."""
    done = npu(delay_us=200, strict=True, devices=1).python(MOVES)
    assert done.returncode == 0, done.stderr
    level, notes, said = _said(done, "moved")
    assert level == "NATIVE"
    assert any("AscendC kernels for simulator" in note for note in notes)
    assert "src_slots: expected indices below 24, given 99 at position 1" in said


def test_a_kernel_that_leaves_its_memory(npu):
    """What the stand-in finds is an error of the stream, and nothing else is touched."""
    done = npu(devices=1).python(WRONG)
    assert done.returncode == 0, done.stderr
    beyond, host = _said(done, "wrong")
    assert "a write of" in beyond, beyond
    assert "pageable host memory, which a device does not reach" in host, host


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"variables": {"ACCEL_ASCEND_KERNELS": "/nowhere"}}, "accel build-kernels"),
        ({"cann": "8.0"}, "aclrtBinaryLoadFromFile"),
        ({"soc": "310P"}, "DataCopyPad"),
    ],
    ids=["no binary", "CANN 8.0", "310P"],
)
def test_why_there_are_none(npu, options, why):
    done = npu(devices=1, **options).python(WITHOUT)
    assert done.returncode == 0, done.stderr
    level, notes = _said(done, "level")
    assert level != "NATIVE"
    assert any("no kernels on the device" in note and why in note for note in notes), notes
