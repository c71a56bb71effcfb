"""Which sound backend is chosen: by name, by ACCEL_BACKEND, by priority, by device."""

from __future__ import annotations

import json
from typing import Any

NOT_HERE = "accel.Probe(False, 'no acme device file', cure='plug one in')"


def test_priority_name_and_environment(site: Any) -> None:
    counter = """
    @accel.hookimpl
    def accel_streams(backend):
        import builtins
        builtins.built = [*getattr(builtins, "built", []), backend.name]
    """
    site.plugin("cpu", priority=0, factories=counter)
    site.plugin("slow", device="xpu", priority=50, factories=counter)
    site.plugin("fast", device="mtia", priority=60, factories=counter)
    site.plugin("oracle", priority=-1, factories=counter)
    site.plugin("absent", device="hpu", priority=100, probe=NOT_HERE)
    results = site.run("""
    import builtins
    case("available", accel.available_backends)
    case("torch is not imported for that", lambda: "torch" in sys.modules)
    case("automatic", accel.get_backend)
    case("built", lambda: list(builtins.built))
    case("by name", lambda: accel.get_backend("slow"))
    case("negative priority by name", lambda: accel.get_backend("oracle"))
    case("same object", lambda: accel.get_backend() is accel.get_backend("fast"))
    case("by type", lambda: accel.get_backend(device="cpu"))
    case("by indexed type", lambda: str(accel.get_backend(device="xpu:1").device))
    case("environment", accel.get_backend, backend="slow")
    case("name before environment", lambda: accel.get_backend("cpu"), backend="slow")
    case("list", accel.get_backend, backend=" oracle , cpu")
    case("list skips", accel.get_backend, backend="absent,unknown,slow,cpu")
    case("list skips, said once", accel.get_backend, backend="absent,unknown,slow,cpu")
    case("list of one unknown", accel.get_backend, backend="unknown")
    case("list of unusable", accel.get_backend, backend="absent,unknown")
    case("empty", accel.get_backend, backend="")
    case("device before environment", lambda: accel.get_backend(device="mtia"), backend="slow")
    case("unknown", lambda: accel.get_backend("cuda"))
    case("unavailable", lambda: accel.get_backend("absent"))
    case("unknown type", lambda: accel.get_backend(device="gpu"))
    case("type without hardware", lambda: accel.get_backend(device="hpu"))
    """)
    value = {label: got["value"] for label, got in results.items()}
    error = {label: got["error"] for label, got in results.items()}
    assert value["available"] == ["fast", "slow", "cpu", "oracle"]
    assert value["torch is not imported for that"] is False
    assert value["automatic"] == "fast"
    assert value["built"] == ["fast"], "factories of unselected plugins ran"
    assert value["by name"] == "slow"
    assert value["negative priority by name"] == "oracle"
    assert value["same object"] is True
    assert value["by type"] == "cpu"
    assert value["by indexed type"] == "xpu:1"
    assert value["environment"] == "slow"
    assert value["name before environment"] == "cpu"
    assert value["list"] == "oracle"
    assert value["list skips"] == "slow"
    (warning,) = results["list skips"]["warnings"]
    assert "absent" in warning
    assert "no acme device file" in warning
    assert "'unknown'" in warning
    assert results["list skips"]["files"] == ["<string>"], "does not point at the caller"
    assert value["list skips, said once"] == "slow"
    assert results["list skips, said once"]["warnings"] == []
    assert error["list of one unknown"] == "BackendNotFoundError"
    assert "ACCEL_BACKEND=unknown" in results["list of one unknown"]["text"]
    assert error["list of unusable"] == "BackendNotFoundError"
    assert "plug one in" in results["list of unusable"]["text"]
    assert value["empty"] == "fast"
    assert value["device before environment"] == "fast"
    assert error["unknown"] == "BackendNotFoundError"
    assert "fast (acme-fast 1.0, usable)" in results["unknown"]["text"]
    assert error["unavailable"] == "BackendUnavailableError"
    assert "no acme device file" in results["unavailable"]["text"]
    assert results["unavailable"]["cure"] == "plug one in"
    assert error["unknown type"] == "BackendNotFoundError"
    assert "'gpu'" in results["unknown type"]["text"]
    assert error["type without hardware"] == "BackendUnavailableError"


def test_device_arguments(site: Any) -> None:
    site.plugin("cpu", priority=0)
    site.plugin("big", device="xpu")
    results = site.run("""
    import torch
    case("torch.device", lambda: accel.get_backend(device=torch.device("xpu", 1)).device.index)
    case("same", lambda: accel.get_backend("big", "xpu:1") is accel.get_backend(device="xpu:1"))
    case("others", lambda: accel.get_backend("big", "xpu:0") is accel.get_backend("big", "xpu:1"))
    case("no index", lambda: str(accel.get_backend().device))
    case("no index, the same", lambda: accel.get_backend() is accel.get_backend(device="xpu:0"))
    case("cpu", lambda: str(accel.get_backend("cpu", "cpu:0").device))
    case("cpu, the same", lambda: accel.get_backend("cpu") is accel.get_backend("cpu", "cpu:0"))
    torch.xpu.is_initialized, torch.xpu.current_device = lambda: True, lambda: 1
    case("current device", lambda: str(accel.get_backend().device))
    case("current device again", lambda: str(accel.get_backend().device))
    torch.xpu.current_device = lambda: 0
    case("current device changed", lambda: str(accel.get_backend().device))
    case("int", lambda: accel.get_backend(device=1))
    case("bool", lambda: accel.get_backend(device=True))
    case("object", lambda: accel.get_backend(device=object()))
    case("text", lambda: accel.get_backend(device="xpu:"))
    case("negative", lambda: accel.get_backend(device="xpu:-1"))
    case("out of range", lambda: accel.get_backend(device="xpu:2"))
    case("cpu out of range", lambda: accel.get_backend("cpu", "cpu:2"))
    case("mismatch", lambda: accel.get_backend("big", "cpu"))
    case("a device as name", lambda: accel.get_backend(torch.device("cpu")))
    case("explain int", lambda: accel.explain(device=0))
    case("explain out of range", lambda: accel.explain(device="xpu:2").error_type)
    """)
    value = {label: got["value"] for label, got in results.items()}
    assert value["torch.device"] == 1
    assert value["same"] is True
    assert value["others"] is False
    assert value["no index"] == "xpu:0"
    assert value["no index, the same"] is True
    assert value["cpu"] == "cpu"
    assert value["cpu, the same"] is True
    assert value["current device"] == value["current device again"] == "xpu:1"
    assert value["current device changed"] == "xpu:0"
    for label in (
        "int",
        "bool",
        "object",
        "text",
        "negative",
        "out of range",
        "cpu out of range",
        "mismatch",
        "explain int",
    ):
        assert results[label]["error"] == "DeviceError", (label, results[label])
        assert results[label]["text"].startswith("device: expected "), results[label]
    assert "device='cuda:1'" in results["int"]["cure"]
    assert results["a device as name"]["error"] == "ArgumentError"
    assert "xpu:1" in results["out of range"]["cure"]
    assert value["explain out of range"] == "DeviceError"


def test_require_and_capabilities(site: Any) -> None:
    factories = """
    @accel.hookimpl
    def accel_streams(backend):
        class Streams(accel.Streams):
            capabilities = {accel.Capability.STREAMS: accel.Level.NATIVE}
        return Streams()

    @accel.hookimpl
    def accel_memcpy(backend):
        class Memcpy(accel.Memcpy):
            def __init__(self):
                self.capabilities = {"memcpy.copy": "composed", "memcpy.fill": "unsupported"}
                self.notes = (f"streams are {type(backend.streams).__name__}",)
        return Memcpy()
    """
    site.plugin("cpu", priority=0, factories=factories)
    results = site.run("""
    C = accel.Capability
    case("met", lambda: accel.get_backend(require=(C.STREAMS, "memcpy.copy")))
    case("met, a list", lambda: accel.get_backend(require=[C.STREAMS]))
    case("met, a generator", lambda: accel.get_backend(require=(c for c in [C.STREAMS])))
    case("unmet", lambda: accel.get_backend(require=("memcpy.fill",)))
    case("unmet, warm", lambda: accel.get_backend(require=["memcpy.fill"]))
    case("unknown", lambda: accel.get_backend(require=("memcpy.teleport",)))
    case("text", lambda: accel.get_backend(require="memcpy.copy"))
    backend = accel.get_backend()
    case("levels", lambda: {str(c): str(l) for c, l in backend.capabilities.items()})
    case("notes", lambda: list(backend.notes))
    case("names", lambda: [backend.streams.backend_name, backend.events.backend_name])
    case("missing area", lambda: backend.events.create())
    case("missing kv", lambda: backend.kv.transfer(None, None, None, None))
    case("explain unmet", lambda: accel.explain(require=("memcpy.fill",)).error_type)
    case("explain", lambda: accel.explain().to_dict())
    case("attributes", lambda: sorted(set(backend.__dict__) - {"_spec", "_on_close"}))
    """)
    for label in ("met", "met, a list", "met, a generator"):
        assert results[label]["value"] == "cpu", results[label]
    for label in ("unmet", "unmet, warm"):
        assert results[label]["error"] == "CapabilityError"
        assert "memcpy.fill" in results[label]["text"]
    assert results["unknown"]["error"] == "ArgumentError"
    assert results["text"]["error"] == "ArgumentError"
    assert results["levels"]["value"] == {"streams": "native", "memcpy.copy": "composed"}
    assert results["notes"]["value"] == ["memcpy: streams are Streams"]
    assert results["names"]["value"] == ["cpu", "cpu"]
    assert results["missing area"]["error"] == "CapabilityError"
    assert "'cpu' does not support 'events'" in results["missing area"]["text"]
    assert results["missing kv"]["error"] == "CapabilityError"
    assert results["explain unmet"]["value"] == "CapabilityError"
    explained = results["explain"]["value"]
    assert explained["built"] is True
    assert explained["capabilities"] == {"streams": "native", "memcpy.copy": "composed"}
    assert explained["notes"] == ["memcpy: streams are Streams"]
    areas = {"streams", "events", "pinned", "memcpy", "collectives", "kv", "device"}
    assert areas <= set(results["attributes"]["value"])


def test_explain_lists_everything(site: Any) -> None:
    site.plugin("cpu", priority=0)
    site.plugin("absent", device="hpu", probe=NOT_HERE)
    site.plugin("oracle", priority=-1)
    results = site.run("""
    explanation = accel.explain()
    results["text"] = str(explanation)
    results["plain"] = explanation.to_dict()
    results["of hpu"] = accel.explain(device="hpu").to_dict()
    results["torch"] = "torch" in sys.modules
    """)
    assert results["torch"] is False
    plain = results["plain"]
    assert json.loads(json.dumps(plain)) == plain
    assert plain["chosen"] == "cpu"
    assert plain["built"] is False
    by_name = {c["name"]: c for c in plain["candidates"]}
    assert set(by_name) == {"cpu", "absent", "oracle"}
    assert by_name["absent"]["status"] == "unavailable"
    assert by_name["absent"]["reason"] == "no acme device file"
    assert by_name["absent"]["cure"] == "plug one in"
    assert by_name["absent"]["distribution"] == "acme-absent"
    assert by_name["absent"]["version"] == "1.0"
    assert by_name["cpu"]["chosen"] is True
    assert by_name["oracle"]["status"] == "usable"
    assert "negative" in by_name["oracle"]["why"]
    for expected in ("chosen: cpu", "no acme device file", "cure: plug one in", "acme-absent 1.0"):
        assert expected in results["text"]
    assert results["of hpu"]["chosen"] is None
    assert results["of hpu"]["error_type"] == "BackendUnavailableError"


def test_only_backends_that_must_be_named(site: Any) -> None:
    site.plugin("oracle", priority=-1)
    results = site.run("""
    case("automatic", accel.get_backend)
    case("by type", lambda: accel.get_backend(device="cpu"))
    """)
    for label in ("automatic", "by type"):
        assert results[label]["error"] == "BackendNotFoundError"
        assert "get_backend('oracle')" in results[label]["cure"]


def test_nothing_installed(site: Any) -> None:
    results = site.run("""
    case("available", accel.available_backends)
    case("automatic", accel.get_backend)
    case("cpu", lambda: accel.get_backend("cpu"))
    case("explain", lambda: str(accel.explain()))
    """)
    assert results["available"]["value"] == []
    for label in ("automatic", "cpu"):
        assert results[label]["error"] == "BackendNotFoundError"
        assert results[label]["cure"] == "`pip install accel-cpu`"
    assert "no plugin is installed" in results["explain"]["value"]
