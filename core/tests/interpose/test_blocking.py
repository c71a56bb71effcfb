"""ACCEL_BLOCKING=1, in processes of its own: it is read when a backend is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any


def run(program: str, **environment: str) -> dict[str, Any]:
    code = "import json, time, torch, accel\nresults = {}\n" + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", code + "\nprint(json.dumps(results))"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


PROGRAM = """
b = accel.get_backend("cpu")
s = b.streams.create()
x, y = torch.ones(1 << 24), torch.zeros(1 << 24)
cache = accel.KVCache.allocate("L K | B S H D", layers=8, blocks=64, block_size=16, heads=8,
                               head_dim=64, dtype=torch.float32)
other = accel.KVCache.allocate("L K | T H D", layers=8, blocks=64, block_size=16, heads=8,
                               head_dim=64, dtype=torch.float32)
slots = torch.arange(1024)
small = torch.arange(8)
calls = {
    "copy_async": lambda: b.memcpy.copy_async(y, x, s),
    "copy_async by keyword": lambda: b.memcpy.copy_async(y, x, stream=s),
    "copy_batch": lambda: b.memcpy.copy_batch([y], [x], s),
    "fill": lambda: b.memcpy.fill(y, 3, s),
    "copy_2d": lambda: b.memcpy.copy_2d(y, x, width=4096, height=4096, dst_pitch=4096,
                                        src_pitch=4096, stream=s),
    "transfer": lambda: b.kv.transfer(cache, other, slots, slots, stream=s),
    "upload_small": lambda: b.kv.upload_small(small.clone(), small, stream=s),
    "callback": lambda: s.add_callback(lambda: time.sleep(0.01)),
}
done = {}
for name, call in calls.items():
    call()
    done[name] = s.query()
    s.synchronize()
results["done"] = done
try:
    s.add_callback(lambda: 1 / 0)
    results["raised"] = "later"
except accel.AsyncError as error:
    results["raised"] = type(error.__cause__).__name__
try:
    s.synchronize()
except accel.AsyncError:
    pass
try:
    b.memcpy.copy_async(y, x[:5], s)
except accel.ShapeError as error:
    results["refused"] = error.argument
results["blocking"] = b.blocking
results["notes"] = [n for n in b.notes if "ACCEL_BLOCKING" in n]
results["explained"] = "ACCEL_BLOCKING=1" in str(accel.explain("cpu"))
b.close()
results["left"] = "copy_async" in vars(b.memcpy) and "python" not in type(
    b.memcpy.copy_async).__name__ and type(b.memcpy.copy_async).__name__ == "function"
"""


def test_every_call_that_queues_work_waits_for_it() -> None:
    got = run(PROGRAM, ACCEL_BLOCKING="1")
    assert [name for name, done in got["done"].items() if not done] == []
    assert got["raised"] == "ZeroDivisionError"
    assert got["refused"] == "src"
    assert got["blocking"]
    assert len(got["notes"]) == 1
    assert got["explained"]
    assert not got["left"]


def test_and_does_not_when_it_is_off() -> None:
    got = run(PROGRAM, ACCEL_BLOCKING="0")
    assert not got["done"]["copy_async"]
    assert not got["done"]["transfer"]
    assert not got["done"]["callback"]
    assert got["raised"] == "later"
    assert (got["blocking"], got["notes"], got["explained"]) == (False, [], False)


def test_a_meaningless_value_is_an_error_with_its_cure() -> None:
    got = run(
        """
        try:
            accel.get_backend("cpu")
        except accel.DiscoveryError as error:
            results["error"] = str(error)
        """,
        ACCEL_BLOCKING="yes",
    )
    assert got["error"] == (
        "ACCEL_BLOCKING='yes' means nothing. Cure: set ACCEL_BLOCKING to 0 or 1, or leave it out"
    )


def test_switched_off_a_call_is_the_plugins_own_function() -> None:
    got = run(
        """
        import sys
        import accel_cpu._native as native
        b = accel.get_backend("cpu")
        results["same"] = b.memcpy.copy_async is native.copy_async
        results["stream"] = type(vars(native.Stream)["synchronize"]).__name__
        results["loaded"] = [m for m in sys.modules if m.startswith("accel.sanitizer")
                             or m == "accel.interpose.interposition"]
        """
    )
    assert got == {"same": True, "stream": "instancemethod", "loaded": []}


def test_both_switches_work_together() -> None:
    got = run(
        """
        import warnings
        warnings.simplefilter("error")
        b = accel.get_backend("cpu")
        s, t = b.streams.create(), b.streams.create()
        x, y, z = torch.ones(1 << 22), torch.zeros(1 << 22), torch.zeros(1 << 22)
        b.memcpy.copy_async(y, x, s)
        results["done"] = s.query()
        try:
            b.memcpy.copy_async(z, x, s)
            b.memcpy.copy_async(x, z, t)
        except accel.StreamRaceError as error:
            results["race"] = error.race.kind
        """,
        ACCEL_BLOCKING="1",
        ACCEL_SANITIZE="raise",
    )
    assert got == {"done": True, "race": "write-read"}
