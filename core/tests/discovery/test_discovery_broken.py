"""Broken plugins are isolated, their cause is kept, and no fallback is silent."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

NOT_HERE = "accel.Probe(False, 'no acme device file', cure='plug one in')"

#: entry point, arguments of plugin_source, stage, error of get_backend(name), words of the message,
#: words of the cure. `device` xpu throughout: an accelerator.
BROKEN: list[tuple[str, dict[str, Any], str, str, list[str], str]] = [
    (
        "raising",
        {"top": "raise OSError('libacme.so: cannot open')"},
        "import",
        "PluginError",
        ["acme-raising 1.0", "OSError: libacme.so: cannot open"],
        "`pip install --force-reinstall acme-raising`",
    ),
    (
        "exiting",
        {"top": "import sys; sys.exit('acme needs a licence')"},
        "import",
        "PluginError",
        ["SystemExit: acme needs a licence"],
        "pip uninstall acme-exiting",
    ),
    (
        "needy",
        {"top": "import acme_runtime_that_is_not_there"},
        "import",
        "PluginError",
        ["needs the module 'acme_runtime_that_is_not_there'"],
        "`pip install --upgrade acme-needy`",
    ),
    (
        "future",
        {"version": "accel.HOOKSPEC_VERSION + 1"},
        "version",
        "HookSpecVersionError",
        ["hook-spec version 2"],
        "`pip install --upgrade accel-core`",
    ),
    (
        "ancient",
        {"version": "accel.OLDEST_HOOKSPEC_VERSION - 1"},
        "version",
        "HookSpecVersionError",
        ["hook-spec version 0"],
        "`pip install --upgrade acme-ancient`",
    ),
    (
        "futurehooks",
        {
            "version": "2",
            "factories": "@accel.hookimpl\ndef accel_teleport(backend, spin): return None",
        },
        "version",
        "HookSpecVersionError",
        ["hook-spec version 2"],
        "`pip install --upgrade accel-core`",
    ),
    (
        "wrongargument",
        {"factories": "@accel.hookimpl\ndef accel_streams(backend, colour): return None"},
        "hooks",
        "PluginError",
        ["does not fit the hook specification", "colour"],
        "`pip install --upgrade acme-wrongargument`",
    ),
    (
        "unknownhook",
        {"factories": "@accel.hookimpl\ndef accel_teleport(backend): return None"},
        "hooks",
        "PluginError",
        ["does not fit the hook specification", "accel_teleport"],
        "`pip install --upgrade acme-unknownhook`",
    ),
    (
        "wrapping",
        {
            "factories": "@accel.hookimpl(wrapper=True)\ndef accel_streams(backend):\n"
            "    return (yield)"
        },
        "hooks",
        "PluginError",
        ["accel_streams is a wrapper"],
        "tryfirst",
    ),
    (
        "badprobe",
        {"probe": "1 / 0"},
        "accel_probe",
        "PluginError",
        ["raised in accel_probe: ZeroDivisionError"],
        "`pip install --upgrade acme-badprobe`",
    ),
    (
        "wrongprobe",
        {"probe": "True"},
        "accel_probe",
        "PluginError",
        ["accel_probe must return one accel.Probe, but gave True"],
        "acme-wrongprobe",
    ),
    (
        "typedpriority",
        {"priority": "high"},
        "accel_backend_info",
        "PluginError",
        ["priority must be an int"],
        "acme-typedpriority",
    ),
]


@pytest.fixture
def broken_site(site: Any) -> Any:
    for name, options, *_ in BROKEN:
        site.plugin(name, device="xpu", **options)
    raising_info = "import accel\n@accel.hookimpl\ndef accel_backend_info(): raise KeyError('x')"
    wrong_info = "import accel\n@accel.hookimpl\ndef accel_backend_info(): return 'me'"
    site.install("acme-badinfo", {"acme_badinfo": raising_info}, {"badinfo": "acme_badinfo"})
    site.install("acme-wronginfo", {"acme_wronginfo": wrong_info}, {"wronginfo": "acme_wronginfo"})
    silent = "import accel\n@accel.hookimpl\ndef accel_backend_info():\n"
    silent += "    return accel.BackendInfo('noprobe', 'xpu', 1)\n"
    site.install("acme-noprobe", {"acme_noprobe": silent}, {"noprobe": "acme_noprobe"})
    site.install("acme-nohooks", {"acme_nohooks": "x = 1"}, {"nohooks": "acme_nohooks"})
    site.install("acme-noattr", {"acme_noattr": "x = 1"}, {"noattr": "acme_noattr:hooks"})
    site.install("acme-gone", {}, {"gone": "acme_gone.plugin"})
    site.install("acme-norecord", {}, {"norecord": "acme_norecord.plugin"}, record=False)
    site.install("acme-nometa", {}, {"nometa": "acme_nometa.plugin"}, metadata=False)
    site.install("acme-lacksmeta", {"acme_lm": "x = 1"}, {"lacksmeta": "acme_lm"}, metadata=False)
    half = site.root / "acme_half"
    half.mkdir()  # the package's directory is left, its modules are not
    site.install("acme-half", {}, {"half": "acme_half.plugin"})
    return site


def test_every_failure_is_isolated_and_reported(broken_site: Any) -> None:
    broken_site.plugin("cpu", priority=0)
    results = broken_site.run("""
    case("available", accel.available_backends)
    results["explain"] = accel.explain().to_dict()
    results["text"] = str(accel.explain())
    for candidate in accel.explain().candidates:
        case(candidate.name, lambda: accel.get_backend(candidate.name))
    """)
    assert results["available"]["value"] == ["cpu"]
    assert results["cpu"]["value"] == "cpu", "an explicit choice must work beside broken plugins"
    candidates = {c["name"]: c for c in results["explain"]["candidates"]}
    for name, _, stage, error, words, cure in BROKEN:
        found, raised = candidates[name], results[name]
        assert found["status"] == "broken", found
        assert found["stage"] == stage, found
        assert raised["error"] == error, raised
        for word in words:
            assert word in raised["text"], raised
            assert word in found["reason"], found
        assert cure in raised["cure"], raised
        assert cure in found["cure"], found
        assert found["reason"] in results["text"]
    assert "cannot open" in candidates["raising"]["traceback"]
    assert "acme_raising_hooks.py" in candidates["raising"]["traceback"]
    assert results["raising"]["cause"] == "OSError: libacme.so: cannot open"
    assert results["raising"]["cause_has_traceback"] is True
    assert results["badprobe"]["cause"] == "ZeroDivisionError: division by zero"
    assert "KeyError" in results["badinfo"]["text"]
    assert "must return one accel.BackendInfo or None" in results["wronginfo"]["text"]
    assert "accel_probe must return one accel.Probe" in results["noprobe"]["text"]
    assert "the hook is not implemented" in results["noprobe"]["text"]
    assert "no function marked with accel.hookimpl" in results["nohooks"]["text"]
    assert "AttributeError" in results["noattr"]["text"]
    for name in ("gone", "half"):
        assert "half uninstalled" in results[name]["text"]
        assert f"`pip install --force-reinstall acme-{name}`" in results[name]["cure"]
        assert f"`pip uninstall acme-{name}`" in results[name]["cure"]
        assert results[name]["cause"].startswith("ModuleNotFoundError")
    assert "--ignore-installed" in results["norecord"]["cure"]
    nometa = results["nometa"]
    assert "acme-nometa 1.0" in nometa["text"]
    assert "acme_nometa-1.0.dist-info" in nometa["cure"]
    problems = " ".join(results["explain"]["problems"])
    assert "acme_lacksmeta-1.0.dist-info has no METADATA" in problems


def test_automatic_choice_never_falls_back_silently(site: Any) -> None:
    """One environment a row: what else is installed beside a sound cpu plugin."""
    rows: list[tuple[str, list[dict[str, Any]], str, list[str]]] = [
        ("import", [{"name": "a", "top": "raise OSError('x')"}], "PluginError", ["OSError: x"]),
        ("probe", [{"name": "a", "device": "xpu", "probe": "1/0"}], "PluginError", ["ZeroDiv"]),
        (
            "version",
            [{"name": "a", "device": "xpu", "version": "9"}],
            "HookSpecVersionError",
            ["version 9"],
        ),
        (
            "driver",
            [
                {
                    "name": "a",
                    "device": "xpu",
                    "probe": "accel.Probe(False, 'two cards, no driver', cure='install the driver',"
                    " hardware_present=True)",
                }
            ],
            "PluginError",
            ["is present but cannot be used: two cards, no driver", "install the driver"],
        ),
        (
            "factory",
            [
                {
                    "name": "a",
                    "device": "xpu",
                    "factories": "@accel.hookimpl\ndef accel_events(backend): raise OSError('e')",
                }
            ],
            "PluginError",
            ["accel_events raised OSError: e"],
        ),
        ("absent", [{"name": "a", "device": "xpu", "probe": NOT_HERE}], "", ["cpu"]),
        (
            "broken and not automatic",
            [{"name": "a", "device": "xpu", "probe": "1/0", "priority": -1}],
            "",
            ["cpu"],
        ),
        (
            "broken, but another accelerator",
            [{"name": "a", "top": "raise OSError('x')"}, {"name": "b", "device": "xpu"}],
            "",
            ["b"],
        ),
        (
            "broken with less priority",
            [{"name": "a", "device": "hpu", "probe": "1/0", "priority": 5}]
            + [{"name": "b", "device": "xpu"}],
            "",
            ["b"],
        ),
    ]
    code = [
        "import importlib, accel.discovery",
        "first = sys.path[0]",
    ]
    for index, (label, plugins, _, _) in enumerate(rows):
        root = site.root / f"row{index}"
        for options in [{"name": "cpu", "priority": 0}, *plugins]:
            name = options["name"]
            module = f"row{index}_{name}"
            source = site.source(**options)
            site.install(f"acme-{name}", {module: source}, {name: module}, root=root)
        code += [
            f"sys.path.insert(0, {str(root)!r})",
            "importlib.invalidate_caches(); accel.discovery.reset()",
            f"case({label!r}, accel.get_backend)",
            f"case({label!r} + ' again', accel.get_backend)",
            f"case({label!r} + ' cpu', lambda: accel.get_backend('cpu'))",
            f"case({label!r} + ' device cpu', lambda: accel.get_backend(device='cpu'))",
            f"case({label!r} + ' environment', accel.get_backend, backend='cpu')",
            f"case({label!r} + ' explain', lambda: accel.explain().to_dict())",
            "del sys.path[0]",
        ]
    results = site.run("\n".join(code))
    for label, _, error, words in rows:
        got = results[label]
        for suffix in (" cpu", " device cpu", " environment"):
            assert results[label + suffix]["value"] == "cpu", (label, suffix, results)
            assert results[label + suffix]["warnings"] == []
        if error:
            assert got["error"] == error, (label, got)
            assert "set ACCEL_BACKEND=cpu" in got["cure"], (label, got)
            assert results[label + " again"]["error"] == error
            for word in words:
                assert word in got["text"], (label, got)
            if label not in ("driver", "version"):
                assert got["cause"] is not None
            if label != "factory":
                assert results[label + " explain"]["value"]["error"] == got["text"]
        else:
            assert got["value"] == words[0], (label, got)
            assert results[label + " explain"]["value"]["chosen"] == words[0]
    assert "broken" in str(results["factory explain"]["value"]["candidates"])
    (warning,) = results["broken, but another accelerator"]["warnings"]
    assert "OSError: x" in warning
    assert "'b' is used" in warning
    assert results["broken, but another accelerator again"]["warnings"] == []
    for quiet in ("absent", "broken and not automatic", "broken with less priority"):
        assert results[quiet]["warnings"] == [], quiet


def test_two_distributions_with_one_name(site: Any) -> None:
    site.plugin("cpu", priority=0)
    site.plugin("twin", distribution="acme-one", device="xpu")
    site.plugin("twin", distribution="acme-two", device="xpu")
    results = site.run("""
    case("available", accel.available_backends)
    case("by name", lambda: accel.get_backend("twin"))
    case("automatic", accel.get_backend)
    case("by environment", accel.get_backend, backend="twin,cpu")
    case("cpu", lambda: accel.get_backend("cpu"))
    found = accel.explain().candidates
    case("explain", lambda: [(c.name, c.distribution, c.status) for c in found])
    """)
    assert results["available"]["value"] == ["cpu"]
    for label in ("by name", "automatic"):
        assert results[label]["error"] == "AmbiguousBackendError", results[label]
        for word in ("acme-one 1.0", "acme-two 1.0", "`pip uninstall acme-one`"):
            assert word in results[label]["text"]
    assert results["by environment"]["value"] == "cpu"
    assert "acme-two" in results["by environment"]["warnings"][0]
    assert results["cpu"]["value"] == "cpu"
    assert ["twin", "acme-one", "ambiguous"] in results["explain"]["value"]
    assert ["twin", "acme-two", "ambiguous"] in results["explain"]["value"]


def test_twins_without_hardware_do_not_stop_the_cpu(site: Any) -> None:
    site.plugin("cpu", priority=0)
    site.plugin("twin", distribution="acme-one", device="xpu", probe=NOT_HERE)
    site.plugin("twin", distribution="acme-two", device="xpu", probe=NOT_HERE)
    results = site.run('case("automatic", accel.get_backend)')
    assert results["automatic"]["value"] == "cpu"


def test_keyboard_interrupt_is_the_users(site: Any) -> None:
    site.plugin("cpu", priority=0)
    site.plugin("slow", top="raise KeyboardInterrupt")
    results = site.run("""
    case("interrupted", accel.available_backends)
    case("again", accel.available_backends)
    """)
    assert results["interrupted"]["error"] == "KeyboardInterrupt"
    assert results["again"]["error"] == "KeyboardInterrupt", "discovery is left half done"


def test_a_plugin_that_asks_for_a_backend_too_early(site: Any) -> None:
    site.plugin("cpu", priority=0)
    site.plugin("eager", device="xpu", top="accel.get_backend('cpu')")
    recursion = "@accel.hookimpl\ndef accel_streams(backend): accel.get_backend('selfish')"
    site.plugin("selfish", device="hpu", priority=-1, factories=recursion)
    nested = "@accel.hookimpl\ndef accel_streams(backend): accel.get_backend('cpu')"
    site.plugin("nested", device="mtia", factories=nested, priority=-1)
    results = site.run("""
    case("eager", lambda: accel.get_backend("eager"))
    case("selfish", lambda: accel.get_backend("selfish"))
    case("nested", lambda: accel.get_backend("nested"))
    """)
    assert results["eager"]["error"] == "PluginError"
    assert "while plugins are being discovered" in results["eager"]["text"]
    assert results["selfish"]["error"] == "PluginError"
    assert "while it is being built" in results["selfish"]["text"]
    assert results["nested"]["value"] == "nested", "another backend may be used by a factory"


def test_a_distribution_hidden_by_another_version(site: Any) -> None:
    site.plugin("cpu", priority=0)
    later = site.root / "later"
    later.mkdir()
    site.install("acme-cpu", {"old": "x"}, {"cpu": "old"}, version="0.9", root=later)
    shutil.copytree(
        site.root / "acme_cpu-1.0.dist-info", site.root / "same" / "acme_cpu-1.0.dist-info"
    )
    results = site.run(
        """
        case("available", accel.available_backends)
        results["problems"] = accel.explain().to_dict()["problems"]
        """,
        path=[site.root, site.root / "same", later, site.farm],
    )
    assert results["available"]["value"] == ["cpu"]
    (problem,) = results["problems"]
    assert "acme-cpu 0.9" in problem
    assert "is hidden by acme-cpu 1.0" in problem
