"""What discovery costs: importing accel, and asking again for a backend."""

from __future__ import annotations

import statistics
from typing import Any


def test_importing_accel_is_cheap_and_imports_no_torch_and_no_plugin(site: Any) -> None:
    site.plugin("cpu", priority=0)
    measure = """
    import json, sys, time
    start = time.process_time()  # not the clock: the machine may be busy with other tests
    import accel
    seconds = time.process_time() - start
    unwanted = ("torch", "numpy", "acme_cpu_hooks", "importlib.metadata")
    heavy = [m for m in unwanted if m in sys.modules]
    results = {"seconds": seconds, "heavy": heavy}
    """
    runs = [site.run(measure, prelude="") for _ in range(5)]
    assert runs[0]["heavy"] == []
    seconds = statistics.median(run["seconds"] for run in runs)
    assert seconds < 0.1, f"median of {len(runs)} imports: {seconds * 1e3:.1f} ms"


def test_a_warm_get_backend_takes_under_two_microseconds(site: Any) -> None:
    site.plugin("cpu", priority=0)
    results = site.run("""
    import statistics, time, timeit
    device = accel.import_torch().device("cpu")
    for label, call in {
        "plain": lambda: accel.get_backend(),
        "name": lambda: accel.get_backend("cpu"),
        "device": lambda: accel.get_backend(device=device),
        "require": lambda: accel.get_backend(require=()),
    }.items():
        call()
        runs = timeit.repeat(call, timer=time.process_time, number=5000, repeat=21)
        results[label] = statistics.median(runs) / 5000
    """)
    for label, seconds in results.items():
        assert seconds < 2e-6, f"{label}: {seconds * 1e6:.2f} us"


def test_following_torchs_current_device_is_cheap_too(site: Any) -> None:
    """An accelerator asked for without an index is torch's current one, asked for at each call."""
    site.plugin("card", device="xpu")
    results = site.run("""
    import statistics, time, timeit
    torch = accel.import_torch()
    torch.xpu.is_initialized, torch.xpu.current_device = lambda: True, lambda: 1
    accel.get_backend()
    runs = timeit.repeat(accel.get_backend, timer=time.process_time, number=5000, repeat=21)
    results["seconds"] = statistics.median(runs) / 5000
    results["index"] = accel.get_backend().device.index
    """)
    assert results["index"] == 1
    assert results["seconds"] < 3e-6, f"{results['seconds'] * 1e6:.2f} us"
