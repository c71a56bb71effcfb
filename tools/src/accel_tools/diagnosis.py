"""Everything ``accel doctor`` finds out, as one JSON-able dictionary."""

from __future__ import annotations

from typing import Any

from accel_tools.host import inspect_host
from accel_tools.installed import environment, plugin_distributions
from accel_tools.isolation import Outcome, run_isolated

__all__ = ["SCHEMA", "diagnose"]

SCHEMA = 1


def diagnose() -> dict[str, Any]:
    """Look at everything; ``ok`` is true when a backend was built and nothing is broken.

    Keys: schema, ok, environment, torch, choice, candidates (each with ``build`` where it was
    tried), host, and problems: a list of ``{"what", "cure"}``, each of which makes ``ok`` false.
    """
    found = environment()
    torch = _torch(found["torch"])
    survey, crashing = _survey()
    candidates = [*survey["candidates"], *crashing]
    leave_out = tuple(c["distribution"] for c in crashing)
    for candidate in candidates:
        if candidate["status"] == "usable" and torch["works"]:
            candidate["build"] = _build(candidate, leave_out)
    choice = {k: v for k, v in survey.items() if k != "candidates"}
    problems = _problems(torch, choice, candidates)
    usable = any("build" in c and not c["build"]["error"] for c in candidates)
    return {
        "schema": SCHEMA,
        "ok": usable and not problems,
        "environment": found,
        "torch": torch,
        "choice": choice,
        "candidates": candidates,
        "host": inspect_host().to_dict(),
        "problems": problems,
    }


def _torch(version: str | None) -> dict[str, Any]:
    outcome = run_isolated("import_torch")
    if outcome.ok:
        return dict(outcome.value)
    return {
        "works": False,
        "error": f"`import torch` {outcome.failure}",
        "cure": f"`pip install --force-reinstall torch=={version}`" if version else "",
        "cause": outcome.output,
    }


def _survey() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What explain() says, without the plugins that take the process down; those come second."""
    outcome = run_isolated("survey")
    if outcome.ok:
        return outcome.value, []
    crashing: list[dict[str, Any]] = []
    for distribution in plugin_distributions():
        alone = run_isolated("load_one", distribution)
        if not alone.ok:
            crashing.append(_crashed(distribution, alone))
    again = run_isolated("survey", leave_out=tuple(c["distribution"] for c in crashing))
    if again.ok:
        return again.value, crashing
    # Each alone is harmless: two of them do not go together, or core itself fails.
    error = f"loading the plugins together {again.failure}"
    explanation: dict[str, Any] = {
        "error": f"{error}: {again.output}",
        "error_type": "",
        "cure": "uninstall plugins one by one until `accel doctor` passes",
        "chosen": None,
        "candidates": [],
        "problems": [],
        "warnings": [],
    }
    return explanation, crashing


def _crashed(distribution: str, outcome: Outcome) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version(distribution)
    except PackageNotFoundError:
        installed = ""
    return {
        "name": distribution,
        "distribution": distribution,
        "version": installed,
        "status": "broken",
        "stage": "import",
        "chosen": False,
        "why": "",
        "reason": f"a process that only loads and probes its plugins {outcome.failure}",
        "cure": f"`pip install --upgrade {distribution}`, or `pip uninstall {distribution}`",
        "traceback": outcome.output,
        "device_type": None,
        "priority": None,
        "hardware_present": False,
        "simulated": False,
        "notes": [],
        "details": {},
    }


def _build(candidate: dict[str, Any], leave_out: tuple[str, ...]) -> dict[str, Any]:
    outcome = run_isolated("build", candidate["name"], leave_out=leave_out)
    if outcome.ok:
        return dict(outcome.value)
    distribution = candidate["distribution"]
    return {
        "error": f"a process that builds it {outcome.failure}",
        "cure": f"`pip install --upgrade {distribution}`, or `pip uninstall {distribution}`",
        "traceback": outcome.output,
    }


def _problems(
    torch: dict[str, Any], choice: dict[str, Any], candidates: list[dict[str, Any]]
) -> list[dict[str, str]]:
    problems = []
    if not torch["works"]:
        problems.append({"what": torch["error"], "cure": torch["cure"]})
    said = choice["error"]
    for candidate in candidates:
        origin = f"{candidate['name']} ({candidate['distribution']} {candidate['version']})"
        if _is_wrong(candidate):
            problems.append({"what": f"{origin}: {candidate['reason']}", "cure": candidate["cure"]})
            if candidate["reason"] in said:
                said = ""  # get_backend() would say the same
        build = candidate.get("build", {})
        if build.get("error"):
            what = f"{origin} cannot be built: {build['error']}"
            problems.append({"what": what, "cure": build["cure"]})
        problems += [{"what": text, "cure": ""} for text in build.get("warnings", ())]
    problems += [{"what": text, "cure": ""} for text in choice["problems"]]
    if said:
        problems.append({"what": f"get_backend() raises: {said}", "cure": choice["cure"]})
    return problems


def _is_wrong(candidate: dict[str, Any]) -> bool:
    """Broken, or of no use although its hardware is there; absent hardware is no fault."""
    if candidate["status"] == "unavailable":
        return bool(candidate["hardware_present"])
    return candidate["status"] in ("broken", "ambiguous")
