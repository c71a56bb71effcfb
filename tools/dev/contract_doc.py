"""Writes docs/contract.md from the hook specifications, the provider docstrings and the presets.

``python tools/dev/contract_doc.py`` rewrites it; ``--check`` fails when it is out of date.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import accel
from accel import errors, hookspecs, providers
from accel.backend_info import BackendInfo, Probe
from accel.capabilities import Capability, Level
from accel.kv import PRESETS, KVCache, KVLayout, QuantSpec, Rope

TARGET = Path(__file__).resolve().parents[2] / "docs" / "contract.md"

INTRO = """\
# The contract

Made from the code by `make docs`; do not edit. A plugin is written against this page and
[writing-a-backend.md](writing-a-backend.md).

Hook specification version {version}; core accepts plugins of version {oldest} to {version}.
Entry-point group `{group}`, pluggy project `{project}`.
"""


def signature(name: str, thing: object) -> str:
    """``name(arguments) -> result`` without ``self`` and without module paths."""
    sig = inspect.signature(thing)  # type: ignore[arg-type]
    kept = [p for n, p in sig.parameters.items() if n != "self"]
    text = f"{name}{sig.replace(parameters=kept)}"
    return text.replace("'", "").replace("~", "")


def fenced(docstring: str) -> list[str]:
    return ["```text", inspect.cleandoc(docstring), "```", ""]


def members(cls: type) -> list[str]:
    """Every public member the class itself defines, with its docstring."""
    out: list[str] = []
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            out += [f"#### `{name}`", ""]
            doc = member.fget.__doc__ if member.fget else None
        elif inspect.isfunction(member):
            out += [f"#### `{signature(name, member)}`", ""]
            doc = member.__doc__
        else:
            continue
        if doc:
            out += fenced(doc)
    return out


def hooks() -> list[str]:
    out = ["## Hooks", ""]
    for name, fn in vars(hookspecs).items():
        if name.startswith("accel_") and inspect.isfunction(fn):
            out += [f"### `{signature(name, fn)}`", "", *fenced(fn.__doc__ or "")]
    for cls in (BackendInfo, Probe):
        out += [f"### `{cls.__name__}`", "", *fenced(cls.__doc__ or "")]
    return out


def capabilities() -> list[str]:
    out = ["## Capabilities", "", inspect.cleandoc(Level.__doc__ or ""), ""]
    notes = {
        Level.NATIVE: "the device's own engine, or a kernel written for it",
        Level.COMPOSED: "from torch operators on the device",
        Level.STAGED: "through host memory",
        Level.UNSUPPORTED: "the call raises CapabilityError",
    }
    out += [f"- `{level.value}`: {notes[level]}" for level in Level]
    out += ["", "| capability | what conformance checks |", "|---|---|"]
    out += [f"| `{c.value}` | {c.doc} |" for c in Capability]
    return [*out, ""]


def areas() -> list[str]:
    groups = {
        "Streams": (providers.Streams, providers.Stream),
        "Events": (providers.Events, providers.Event),
        "Pinned memory": (
            providers.PinnedMemory,
            providers.PinnedBuffer,
            providers.PinnedStats,
        ),
        "Memcpy": (providers.Memcpy, providers.MemRef, providers.MemoryInfo),
        "Collectives": (
            providers.Collectives,
            providers.Communicator,
            providers.Work,
            providers.P2POp,
        ),
        "KV kernels": (
            *(c for c in providers.KVKernels.__mro__ if "providers.kv" in c.__module__),
            QuantSpec,
            Rope,
        ),
    }
    out: list[str] = ["## Areas", "", *fenced(providers.Provider.__doc__ or "")]
    for title, classes in groups.items():
        out += [f"## {title}", ""]
        for cls in classes:
            out += [f"### `{cls.__name__}`", "", *fenced(cls.__doc__ or ""), *members(cls)]
    return out


def layouts() -> list[str]:
    out = ["## KV layouts", "", *fenced(KVLayout.__doc__ or ""), *fenced(KVCache.__doc__ or "")]
    out += ["| preset | axes |", "|---|---|"]
    for name, axes in PRESETS.items():
        cell = axes.replace("|", "\\|")
        out.append(f"| `{name}` | `{cell}` |")
    return [*out, ""]


def helpers() -> list[str]:
    """What core builds on the contract, for every backend."""
    out = ["## Helpers", "", "Part of core, on the contract only; [recipes.md](recipes.md).", ""]
    for cls in (accel.KVPool, accel.HostStaging, accel.StagedCopy):
        out += [f"### `{cls.__name__}`", "", *fenced(cls.__doc__ or ""), *members(cls)]
    out += [f"### `{signature('copy_stream', accel.copy_stream)}`", ""]
    return [*out, *fenced(accel.copy_stream.__doc__ or "")]


def error_list() -> list[str]:
    out = ["## Errors", "", *fenced(errors.__doc__ or ""), "| error | meaning |", "|---|---|"]
    for name in errors.__all__:
        cls = getattr(errors, name)
        bases = ", ".join(b.__name__ for b in cls.__bases__)
        meaning = inspect.cleandoc(cls.__doc__ or "").replace("\n", " ")
        out.append(f"| `{name}({bases})` | {meaning} |")
    return [*out, ""]


def render() -> str:
    intro = INTRO.format(
        version=accel.HOOKSPEC_VERSION,
        oldest=hookspecs.OLDEST_HOOKSPEC_VERSION,
        group=hookspecs.ENTRY_POINT_GROUP,
        project=hookspecs.PROJECT,
    )
    parts = [hooks(), capabilities(), areas(), layouts(), helpers(), error_list()]
    return intro + "\n" + "\n".join("\n".join(p) for p in parts)


def main() -> int:
    text = render()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() != text:
            print(f"{TARGET.name} is out of date: run `make docs`")
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
