"""The JUnit report, as continuous integration systems read it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from .model import CaseResult, LevelTotals, Report

__all__ = ["junit_xml"]

# XML 1.0 has no way to write these.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(report: Report) -> str:
    """One suite a level; expected failures count as skipped, passing ones as failures."""
    root = ET.Element("testsuites", {"name": report.title, **_counts(report.totals)})
    for level, totals in report.levels.items():
        name = f"{report.environment.backend}.L{level}"
        suite = ET.SubElement(
            root,
            "testsuite",
            {"name": name, "timestamp": report.environment.started, **_counts(totals)},
        )
        properties = ET.SubElement(suite, "properties")
        for key, value in _properties(report).items():
            ET.SubElement(properties, "property", {"name": key, "value": _clean(value)})
        for result in report.cases:
            if result.level == level:
                _add_case(suite, name, result)
    if report.problems:
        suite = ET.SubElement(root, "testsuite", {"name": "problems", "errors": "1", "tests": "1"})
        case = ET.SubElement(suite, "testcase", {"name": "run", "classname": "accel_conformance"})
        ET.SubElement(case, "error", {"message": "the run is not complete"}).text = _clean(
            "\n".join(report.problems)
        )
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counts(totals: LevelTotals) -> dict[str, str]:
    return {
        "tests": str(totals.cases),
        "failures": str(totals.failed + totals.xpassed),
        "errors": str(totals.error),
        "skipped": str(totals.skipped + totals.xfailed),
        "time": f"{totals.seconds:.3f}",
    }


def _properties(report: Report) -> dict[str, str]:
    environment = report.environment
    return {
        "backend": f"{environment.backend} ({environment.distribution} {environment.version})",
        "device": environment.device,
        "simulated": str(environment.simulated).lower(),
        "seed": str(environment.seed),
        "command": environment.command,
        "torch": environment.torch,
    }


def _add_case(suite: ET.Element, suite_name: str, result: CaseResult) -> None:
    where, _, name = result.id.partition("::")
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "name": _clean(name),
            "classname": f"{suite_name}.{where}",
            "time": f"{result.seconds:.3f}",
        },
    )
    if result.outcome == "passed":
        return
    if result.outcome in ("skipped", "xfailed"):
        prefix = "expected failure: " if result.outcome == "xfailed" else ""
        ET.SubElement(case, "skipped", {"message": _clean(prefix + result.message)})
        return
    tag = "error" if result.outcome == "error" else "failure"
    ET.SubElement(case, tag, {"message": _clean(result.message)}).text = _clean(
        f"{result.details}\nrepeat it with: {result.rerun}"
    )


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
