"""Where ``import torch`` is broken accel says by whom, and everything but building works."""

from __future__ import annotations

from typing import Any

from accel.torch_import import AUTOLOAD_SWITCH

BROKEN_VENDOR = """
def autoload():
    pass
raise ImportError("libhccl.so: cannot open shared object file: No such file or directory")
"""

CASES = """
case("available", accel.available_backends)
case("explain", lambda: accel.explain().chosen)
case("get", accel.get_backend)
case("get again", lambda: accel.get_backend("cpu"))
case("import_torch", accel.import_torch)
case("problems", lambda: accel.explain().to_dict()["problems"])
"""


def test_a_vendors_autoload_breaks_import_torch(site: Any) -> None:
    site.plugin("cpu", priority=0)
    site.install(
        "acme-torch",
        {"acme_torch": BROKEN_VENDOR},
        {"acme_torch_ext": "acme_torch:autoload"},
        group="torch.backends",
        version="2.13.0",
    )
    plain = site.process(["-c", "import torch"])
    assert plain.returncode != 0, "the fixture no longer breaks import torch"
    assert "Failed to load the backend extension: acme_torch_ext" in plain.stderr
    results = site.run(CASES)
    assert results["available"]["value"] == ["cpu"]
    assert results["explain"]["value"] == "cpu"
    for label in ("get", "get again", "import_torch"):
        got = results[label]
        assert got["error"] == "TorchImportError", got
        assert "acme_torch_ext = acme_torch:autoload of acme-torch 2.13.0" in got["text"]
        assert "ImportError: libhccl.so" in got["text"]
        assert f"{AUTOLOAD_SWITCH}=0" in got["cure"]
        assert "`pip uninstall acme-torch`" in got["cure"]
        assert got["cause"].startswith("RuntimeError: Failed to load")
    (problem,) = results["problems"]["value"]
    assert "acme-torch 2.13.0" in problem, "explain() does not tell what get_backend() met"
    earlier = site.run("try:\n    import torch\nexcept RuntimeError:\n    pass\n" + CASES)
    assert earlier["available"]["value"] == ["cpu"]
    got = earlier["get"]
    assert got["error"] == "TorchImportError"
    assert "acme-torch 2.13.0" in got["text"]
    assert "acme-torch" in got["text"]
    assert AUTOLOAD_SWITCH in got["cure"]
    # The cure that the message gives does cure.
    site.environment[AUTOLOAD_SWITCH] = "0"
    cured = site.run(CASES.replace('case("import_torch", accel.import_torch)', ""))
    assert cured["get"]["value"] == cured["get again"]["value"] == "cpu"


def test_torch_is_not_installed(site: Any) -> None:
    site.plugin("cpu", priority=0)
    (site.root / "bare").mkdir()
    for name in ("accel", "pluggy"):
        (site.root / "bare" / name).symlink_to(site.farm / name)
    results = site.run(CASES, path=[site.root, site.root / "bare"])
    assert results["available"]["value"] == ["cpu"]
    assert results["explain"]["value"] == "cpu"
    assert results["get"]["error"] == "TorchImportError"
    assert "torch is not installed" in results["get"]["text"]
    assert results["get"]["cure"] == "`pip install 'torch>=2.6'`"


def test_torch_raises_for_its_own_reasons(site: Any) -> None:
    site.plugin("cpu", priority=0)
    (site.root / "torch.py").write_text("raise OSError('libtorch_cpu.so: undefined symbol')")
    results = site.run(CASES)
    assert "OSError: libtorch_cpu.so: undefined symbol" in results["get"]["text"]
    assert "--force-reinstall torch" in results["get"]["cure"]
    (site.root / "torch.py").write_text("import acme_missing_dependency")
    results = site.run(CASES)
    assert "`pip install acme_missing_dependency`" in results["get"]["cure"]


def test_a_distribution_whose_entry_points_cannot_be_read(site: Any) -> None:
    """It breaks ``importlib.metadata.entry_points()``, and with it ``import torch``."""
    site.plugin("cpu", priority=0)
    damaged = site.root / "damaged-1.0.dist-info"
    damaged.mkdir()
    (damaged / "entry_points.txt").write_bytes(b"[accel.backends]\n\xff\xfe = x\n")
    results = site.run(CASES)
    assert results["available"]["value"] == ["cpu"]
    problem = results["problems"]["value"][0]
    assert "damaged-1.0.dist-info: entry_points.txt cannot be read" in problem
    assert results["get"]["error"] == "TorchImportError"
    assert "damaged-1.0.dist-info" in results["get"]["text"]
    assert f"{AUTOLOAD_SWITCH}=0" in results["get"]["cure"]


def test_torch_npu_without_cann(site: Any) -> None:
    """The vendor's package that most people meet: what it lacks is named, and how to get it."""
    site.plugin("cpu", priority=0)
    site.install(
        "torch-npu",
        {"torch_npu": BROKEN_VENDOR + "\n\ndef _autoload():\n    pass\n"},
        {"torch_npu": "torch_npu:_autoload"},
        group="torch.backends",
        version="2.13.0",
    )
    got = site.run(CASES)["get"]
    assert got["error"] == "TorchImportError", got
    assert "torch_npu = torch_npu:_autoload of torch-npu 2.13.0" in got["text"]
    assert f"{AUTOLOAD_SWITCH}=0" in got["cure"]
    assert "install CANN (`source /usr/local/Ascend/ascend-toolkit/set_env.sh`" in got["cure"]
    assert "`pip uninstall torch-npu`" in got["cure"]
