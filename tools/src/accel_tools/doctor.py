"""``accel doctor``: what is installed, what is wrong with it, and the command that cures it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from accel_tools.diagnosis import diagnose
from accel_tools.host import size

__all__ = ["count_levels", "doctor", "show"]

_MARKS = {
    "usable": "[green]ok[/]  ",
    "kernel pack": "[green]ok[/]  ",
    "unavailable": "[yellow]--[/]  ",
    "broken": "[red]BAD[/] ",
    "ambiguous": "[red]BAD[/] ",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--verbose", "-v", is_flag=True, help="Print tracebacks and capabilities.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, verbose: bool) -> None:
    """Say what is installed, why each backend is usable or not, and what cures it.

    Imports torch and builds each usable backend in processes of their own, so nothing that is
    broken can stop it. Exits with 0 when a backend is usable and nothing is broken, else with 1.
    """
    found = diagnose()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        # Commands are for copying: lines are not wrapped, nor anything in them highlighted.
        show(found, Console(soft_wrap=True, highlight=False), verbose)
    ctx.exit(0 if found["ok"] else 1)


def show(found: Mapping[str, Any], console: Console, verbose: bool = False) -> None:
    """Print what :func:`accel_tools.diagnosis.diagnose` found."""
    _Report(console, verbose).show(found)


class _Report:
    def __init__(self, console: Console, verbose: bool) -> None:
        self._print = console.print
        self._verbose = verbose

    def show(self, found: Mapping[str, Any]) -> None:
        self._environment(found["environment"], found["torch"])
        self._head("backends")
        for candidate in found["candidates"]:
            self._candidate(candidate)
        if not found["candidates"]:
            self._line("no plugin is installed")
        self._choice(found["choice"])
        self._host(found["host"])
        self._verdict(found)

    def _environment(self, environment: Mapping[str, Any], torch: Mapping[str, Any]) -> None:
        self._head("installed")
        self._line(f"python      {environment['python']}  {environment['executable']}")
        self._line(f"platform    {environment['platform']}")
        works = "imports" if torch["works"] else "import FAILS"
        self._line(f"torch       {environment['torch'] or 'not installed'}  {works}")
        for point in environment["torch_autoload"]:
            origin = f"{point['distribution']} {point['version']}"
            self._line(f"  autoloads {point['name']} = {point['value']}  ({origin})")
        oldest, newest = environment["oldest_hookspec_version"], environment["hookspec_version"]
        self._line(f"hook spec   {newest}, accepts {oldest} to {newest}")
        for name, version in environment["distributions"].items():
            self._line(f"{name:<19} {version}")
        for name, value in environment["variables"].items():
            self._line(f"{name}={value}")

    def _candidate(self, candidate: Mapping[str, Any]) -> None:
        build = candidate.get("build", {})
        mark = _MARKS["broken"] if build.get("error") else _MARKS[candidate["status"]]
        facts = [f"{candidate['distribution']} {candidate['version']}", candidate["status"]]
        if candidate["device_type"]:
            facts.append(f"{candidate['device_type']} x{candidate['device_count']}")
        if candidate["priority"] is not None:
            facts.append(f"priority {candidate['priority']}")
        if candidate["simulated"]:
            facts.append("simulated")
        self._print(f"  {mark}[bold]{escape(candidate['name'])}[/]  {escape(', '.join(facts))}")
        self._detail(candidate["reason"])
        self._detail(candidate["cure"], "cure: ")
        for key, value in candidate["details"].items():
            self._detail(f"{key}: {value}")
        for note in candidate["notes"]:
            self._detail(note, "note: ")
        if build.get("error"):
            self._detail(build["error"], "does not build: ")
        elif build:
            self._built(build)
        if self._verbose:
            for text in (candidate.get("traceback", ""), build.get("traceback", "")):
                self._detail(text)

    def _built(self, build: Mapping[str, Any]) -> None:
        levels = ", ".join(f"{n} {level}" for level, n in count_levels(build["capabilities"]))
        self._detail(f"builds on {build['device']}: {levels or 'no'} capabilities")
        for override in build["overrides"]:
            state = "overridden by" if override["used"] else "override failed:"
            self._detail(f"{override['area']} {state} {override['distribution']}")
        for note in build["notes"]:
            self._detail(note)
        if self._verbose:
            for capability, level in build["capabilities"].items():
                self._detail(f"{capability:<24} {level}")

    def _choice(self, choice: Mapping[str, Any]) -> None:
        if choice["chosen"]:
            self._line(f"get_backend() gives {choice['chosen']!r}: {choice['because']}")
        else:
            self._line(f"get_backend() raises {choice['error_type']}: {choice['error']}")
        for text in choice["warnings"]:
            self._line(f"get_backend() warns: {text}")

    def _host(self, host: Mapping[str, Any]) -> None:
        self._head("host")
        self._line(f"cpu         {host['cpu']}, {host['cpus_allowed']} of {host['cpus']} usable")
        memory = f"{size(host['memory'])}, {size(host['memory_available'])} available"
        self._line(f"memory      {memory}")
        soft, hard = size(host["memlock_soft"]), size(host["memlock_hard"])
        self._line(f"memlock     {soft} (hard limit {hard})")
        pages = f"{host['huge_pages_free']} of {host['huge_pages_total']} free"
        transparent = host["transparent_huge_pages"] or "unknown"
        huge = f"{size(host['huge_page_size'])}: {pages}; transparent: {transparent}"
        self._line(f"huge pages  {huge}")
        nodes = [f"node {n}: cpus {cpus}" for n, cpus in host["numa_nodes"].items()]
        self._line(f"NUMA        {'; '.join(nodes) or 'unknown'}")
        self._line(f"/dev/shm    {size(host['shm_total'])}, {size(host['shm_free'])} free")
        for text in host["advice"]:
            self._line(f"advice: {text}")

    def _verdict(self, found: Mapping[str, Any]) -> None:
        self._head("verdict")
        for problem in found["problems"]:
            self._print(f"  [red]problem:[/] {escape(problem['what'])}")
            # Messages of accel's errors end with their cure.
            if problem["cure"] and problem["cure"] not in problem["what"]:
                self._detail(problem["cure"], "cure: ")
        if found["ok"]:
            self._print("  [green]all is well[/]")
        elif not found["problems"]:
            self._line("no backend is usable here")

    def _head(self, text: str) -> None:
        self._print(f"[bold]{text}[/]")

    def _line(self, text: str) -> None:
        self._print(f"  {escape(text)}")

    def _detail(self, text: str, prefix: str = "") -> None:
        for line in text.splitlines():
            self._print(f"       {prefix}{escape(line)}")
            prefix = " " * len(prefix)


def count_levels(capabilities: Mapping[str, str]) -> list[tuple[str, int]]:
    """How many capabilities have each level, best level first; none of them UNSUPPORTED."""
    levels = list(capabilities.values())
    return [
        (name, levels.count(name)) for name in ("native", "composed", "staged") if name in levels
    ]
