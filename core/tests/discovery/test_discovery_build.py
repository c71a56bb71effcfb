"""Building: areas in order, kernel packs, failing factories, threads, forks, closing."""

from __future__ import annotations

from typing import Any

AREA_LOG = """
log = []

def area(base, name):
    def factory(backend):
        before = [a for a in ("streams", "events", "pinned", "memcpy", "collectives", "kv")
                  if hasattr(backend, a)]
        log.append((name, str(backend.device), backend.info.name, before))
        class Area(base):
            def close(self):
                log.append(("close", name))
        return Area()
    return factory
"""

AREA_HOOKS = """
@accel.hookimpl
def accel_kv_kernels(backend): return area(accel.KVKernels, "kv")(backend)
@accel.hookimpl
def accel_collectives(backend): return area(accel.Collectives, "collectives")(backend)
@accel.hookimpl
def accel_memcpy(backend): return area(accel.Memcpy, "memcpy")(backend)
@accel.hookimpl
def accel_pinned_memory(backend): return area(accel.PinnedMemory, "pinned")(backend)
@accel.hookimpl
def accel_events(backend): return area(accel.Events, "events")(backend)
@accel.hookimpl
def accel_streams(backend): return area(accel.Streams, "streams")(backend)
"""

ORDER = ["streams", "events", "pinned", "memcpy", "collectives", "kv"]


def test_areas_are_built_in_order_and_closed_in_reverse(site: Any) -> None:
    site.plugin("cpu", priority=0, top=AREA_LOG, factories=AREA_HOOKS)
    results = site.run("""
    from acme_cpu_hooks import log
    backend = accel.get_backend()
    results["built"] = list(log)
    log.clear()
    backend.close()
    backend.close()
    results["closed"] = list(log)
    case("anew", lambda: accel.get_backend() is not backend)
    log.clear()
    accel.discovery.reset()
    results["reset"] = list(log)
    case("after reset", accel.get_backend)
    results["repr"] = repr(backend)
    case("unknown attribute", lambda: backend.teleport)
    """)
    assert [entry[0] for entry in results["built"]] == ORDER
    for index, (_, device, name, before) in enumerate(results["built"]):
        assert device == "cpu"
        assert name == "cpu"
        assert before == ORDER[:index]
    assert results["closed"] == [["close", area] for area in reversed(ORDER)]
    assert results["anew"]["value"] is True
    assert results["reset"] == results["closed"]
    assert results["after reset"]["value"] == "cpu"
    assert results["repr"] == "<accel backend 'cpu' on cpu (acme-cpu 1.0)>"
    assert results["unknown attribute"]["error"] == "AttributeError"


def test_closed_when_the_process_ends(site: Any) -> None:
    hook = """
    class Streams(accel.Streams):
        def close(self):
            print("closed at exit")
    @accel.hookimpl
    def accel_streams(backend): return Streams()
    """
    site.plugin("cpu", priority=0, factories=hook)
    done = site.process(["-c", "import accel; accel.get_backend()"])
    assert done.stdout.splitlines() == ["closed at exit"], done.stderr


def pack(hook: str, body: str, *, probe: str = "", options: str = "tryfirst=True") -> str:
    text = f"import accel\n@accel.hookimpl({options})\ndef {hook}(backend):\n    {body}\n"
    if probe:
        text += f"@accel.hookimpl\ndef accel_probe():\n    return {probe}\n"
    return text


def test_kernel_packs(site: Any) -> None:
    hooks = """
    @accel.hookimpl
    def accel_memcpy(backend):
        class OwnMemcpy(accel.Memcpy):
            capabilities = {accel.Capability.FILL: accel.Level.NATIVE}
        return OwnMemcpy()
    @accel.hookimpl
    def accel_events(backend):
        class OwnEvents(accel.Events): pass
        return OwnEvents()
    @accel.hookimpl
    def accel_kv_kernels(backend):
        class OwnKernels(accel.KVKernels): pass
        return OwnKernels()
    """
    site.plugin("cpu", priority=0, factories=hooks)
    faster = """class PackMemcpy(accel.Memcpy):
        capabilities = {"memcpy.copy": "native"}
    return PackMemcpy() if backend.name == "cpu" else None"""
    packs = {
        "acme-pack-memcpy": pack("accel_memcpy", faster),
        "acme-pack-raises": pack("accel_events", "raise OSError('no such kernel')"),
        "acme-pack-wrong": pack("accel_pinned_memory", "return 'pool'"),
        "acme-pack-claims": pack(
            "accel_streams",
            "streams = accel.Streams(); streams.capabilities = {'kv.write': 'native'};"
            " return streams",
        ),
        "acme-pack-absent": pack(
            "accel_kv_kernels", "raise AssertionError", probe="accel.Probe(False, 'not this chip')"
        ),
        "acme-pack-badprobe": pack("accel_collectives", "raise AssertionError", probe="1 / 0"),
        "acme-pack-other": pack(
            "accel_kv_kernels", "return accel.KVKernels() if backend.name == 'xpu' else None"
        ),
        "acme-pack-last": pack("accel_memcpy", "raise AssertionError", options="trylast=True"),
    }
    for name, source in packs.items():
        module = name.replace("-", "_")
        site.install(name, {module: source}, {name: module})
    results = site.run("""
    case("get", accel.get_backend)
    backend = accel.get_backend()
    case("types", lambda: [type(getattr(backend, a)).__name__ for a in
        ("streams", "events", "pinned", "memcpy", "collectives", "kv")])
    case("levels", lambda: {str(c): str(l) for c, l in backend.capabilities.items()})
    overrides = [(o.area, o.distribution, o.used, o.reason) for o in backend.overrides]
    case("overrides", lambda: overrides)
    case("explain", lambda: accel.explain().to_dict())
    case("text", lambda: str(accel.explain()))
    case("pack by name", lambda: accel.get_backend("acme-pack-memcpy"))
    """)
    assert results["get"]["value"] == "cpu"
    warnings = results["get"]["warnings"]
    assert len(warnings) == 4, warnings
    assert results["get"]["files"] == ["<string>"] * 4
    for words in (
        ["acme-pack-raises 1.0", "events", "no such kernel", "acme-cpu's own is used"],
        ["acme-pack-wrong", "pinned", "expected an accel.PinnedMemory"],
        ["acme-pack-claims", "streams", "claims capabilities of other areas: kv.write"],
        ["acme-pack-badprobe", "ZeroDivisionError", "not used"],
    ):
        assert any(all(word in w for word in words) for w in warnings), (words, warnings)
    types = ["Streams", "OwnEvents", "PinnedMemory", "PackMemcpy", "Collectives", "OwnKernels"]
    assert results["types"]["value"] == types
    assert results["levels"]["value"] == {"memcpy.copy": "native"}, "the owner's levels leaked"
    overrides = {o[0]: o[1:] for o in results["overrides"]["value"]}
    assert overrides["memcpy"] == ["acme-pack-memcpy 1.0", True, ""]
    assert overrides["events"][1] is False
    assert "no such kernel" in overrides["events"][2]
    explained = results["explain"]["value"]
    statuses = {c["name"]: c["status"] for c in explained["candidates"]}
    assert statuses["acme-pack-memcpy"] == "kernel pack"
    assert statuses["acme-pack-badprobe"] == "broken"
    assert len(explained["overrides"]) == 4
    assert "memcpy provided by acme-pack-memcpy 1.0" in results["text"]["value"]
    assert results["pack by name"]["error"] == "BackendNotFoundError"


def test_failing_factories_of_the_owner(site: Any) -> None:
    site.plugin("cpu", priority=0)
    closing = """
    class Streams(accel.Streams):
        def close(self): print("streams closed", file=__import__("sys").stderr)
    @accel.hookimpl
    def accel_streams(backend): return Streams()
    """
    for name, body in {
        "raises": "raise OSError('acme device busy')",
        "cures": "raise accel.PluginError('no licence', 'buy one')",
        "exits": "import sys; sys.exit(3)",
        "wrong": "return accel.Streams()",
        "claims": "p = accel.Memcpy(); p.capabilities = {'teleport': 'native'}; return p",
        "level": "p = accel.Memcpy(); p.capabilities = {'memcpy.copy': 'fast'}; return p",
        "looks": "return backend.kv",
    }.items():
        hook = f"\n@accel.hookimpl\ndef accel_memcpy(backend):\n    {body}\n"
        site.plugin(name, device="xpu", priority=-1, factories=closing + "\n" + hook)
    site.plugin("untyped", device="acme_type", priority=-1)
    results = site.run("""
    for name in ("raises", "cures", "exits", "wrong", "claims", "level", "looks", "untyped"):
        case(name, lambda: accel.get_backend(name))
    case("available", accel.available_backends)
    case("explain", lambda: [c.stage for c in accel.explain().candidates if c.name == "raises"])
    case("cpu", accel.get_backend)
    """)
    for name, words in {
        "raises": ["acme-raises 1.0", "accel_memcpy raised OSError: acme device busy"],
        "cures": ["no licence"],
        "exits": ["SystemExit: 3"],
        "wrong": ["expected an accel.Memcpy or None"],
        "claims": ["capability: expected one of"],
        "level": ["'fast'"],
        "looks": ["has no 'kv' yet"],
        "untyped": ["torch.device raised"],
    }.items():
        got = results[name]
        assert got["error"] == "PluginError", got
        for word in words:
            assert word in got["text"], got
        assert got["cause_has_traceback"] is True
    assert results["raises"]["cause"] == "OSError: acme device busy"
    assert results["cures"]["cure"] == "buy one"
    assert "acme-raises" in results["raises"]["cure"]
    assert results["available"]["value"] == ["cpu"]
    assert results["explain"]["value"] == ["accel_memcpy"]
    assert results["cpu"]["value"] == "cpu"


def test_a_failure_that_goes_away(site: Any) -> None:
    hook = """
    @accel.hookimpl
    def accel_streams(backend):
        import os
        if "ACME_BUSY" in os.environ:
            raise OSError("busy")
    """
    site.plugin("cpu", priority=0, factories=hook)
    results = site.run("""
    os.environ["ACME_BUSY"] = "1"
    case("busy", accel.get_backend)
    case("available while busy", accel.available_backends)
    del os.environ["ACME_BUSY"]
    case("free", accel.get_backend)
    case("available", accel.available_backends)
    """)
    assert results["busy"]["error"] == "PluginError"
    assert results["available while busy"]["value"] == []
    assert results["free"]["value"] == "cpu"
    assert results["available"]["value"] == ["cpu"]


def test_first_build_from_many_threads(site: Any) -> None:
    hook = """
    @accel.hookimpl
    def accel_streams(backend):
        import builtins, time
        builtins.built = getattr(builtins, "built", 0) + 1
        time.sleep(0.05)
    """
    site.plugin("cpu", priority=0, factories=hook)
    results = site.run("""
    import builtins, threading
    barrier, seen = threading.Barrier(16), []
    def work():
        barrier.wait()
        seen.append(accel.get_backend())
    threads = [threading.Thread(target=work) for _ in range(16)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    results["objects"] = len(set(map(id, seen)))
    results["calls"] = len(seen)
    results["built"] = builtins.built
    """)
    assert results == {"objects": 1, "calls": 16, "built": 1}


def test_a_forked_child_builds_its_own(site: Any) -> None:
    hook = """
    class Streams(accel.Streams):
        def __init__(self):
            import os
            self.pid = os.getpid()
        def close(self):
            import os
            print("closed", "own" if os.getpid() == self.pid else "the parent's", flush=True)
    @accel.hookimpl
    def accel_streams(backend): return Streams()
    """
    site.plugin("cpu", priority=0, factories=hook)
    done = site.process(
        [
            "-c",
            "import accel, os, sys\n"
            "parents = accel.get_backend()\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    assert accel.get_backend() is not parents\n"
            "    assert accel.get_backend().streams.pid == os.getpid()\n"
            "    sys.exit(0)\n"
            "assert os.waitpid(pid, 0)[1] == 0\n"
            "assert accel.get_backend() is parents\n",
        ]
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["closed own", "closed own"]
