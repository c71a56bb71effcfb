"""The report: its schema, its forms, its verdict."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from accel_conformance.report import CapabilityVerdict, CaseResult, Environment, Report
from accel_conformance.report.schema import check_document, schema_document
from accel_conformance.report.writing import FORMS

ENVIRONMENT = Environment(
    backend="chip", device="chip:0", distribution="accel-chip", version="1.2", simulated=False,
    probe="driver 3 found", seed=42, quick=False, levels=(0, 1), command="accel-conformance run",
    started="2024-06-07T08:09:10+00:00", python="3.12.1", torch="2.13.0", accel="0.1.0",
    conformance="0.1.0", system="Linux 6", machine="x86_64", cpu="a | b <c>", cpu_count=8,
    details={"driver": "3|4"}, notes=("memcpy: by the engine",),
)  # fmt: skip


def _case(outcome: str, number: int = 0, **changes: Any) -> CaseResult:
    result = CaseResult(
        id=f"L1-memcpy::case[{outcome}-{number}]", level=1, capabilities=("memcpy.copy",),
        parameters={"n": "1"}, summary="One line.", outcome=outcome, seconds=0.25,
        message="" if outcome == "passed" else f"because <{outcome}> & \x00 | more",
        details="Traceback \x1b[31m\nline <2>", device="chip:0", worker="gw0",
        rerun="accel-conformance run --backend chip --seed 42 --case 'x[1]'",
    )  # fmt: skip
    return dataclasses.replace(result, **changes)


def _report(*cases: CaseResult, **environment: Any) -> Report:
    return Report(
        environment=dataclasses.replace(ENVIRONMENT, **environment),
        cases=cases,
        capabilities=(CapabilityVerdict("memcpy.copy", "native", "yes", 1, "a | note"),),
        seconds=1.5,
    )


@pytest.mark.parametrize(
    ("outcomes", "ok"),
    [
        ((), False),
        (("passed",), True),
        (("passed", "skipped", "xfailed"), True),
        (("skipped", "skipped"), False),
        (("passed", "failed"), False),
        (("passed", "error"), False),
        (("passed", "xpassed"), False),
        (("xfailed",), True),
    ],
)
def test_verdict(outcomes: tuple[str, ...], ok: bool) -> None:
    """Good only if something ran, nothing failed, and no expected failure passed."""
    report = _report(*(_case(o, i) for i, o in enumerate(outcomes)))
    assert report.ok is ok
    assert report.verdict.startswith("conformant" if ok else "NOT conformant")
    assert report.totals.cases == len(outcomes)
    assert not dataclasses.replace(report, problems=("a worker died",)).ok


def test_json_round_trip() -> None:
    """What is saved comes back, and fits the schema."""
    report = _report(
        *(_case(o) for o in ("passed", "failed", "error", "skipped", "xfailed", "xpassed")),
        _case("passed", 2, figures={"us": 1.5, "text": "x"}, warnings=("works",)),
    )
    document = json.loads(json.dumps(report.to_json()))
    assert check_document(document) is document
    assert Report.from_json(document) == report
    assert document["schema"] == "accel-conformance/1"
    assert document["totals"]["cases"] == 7
    assert document["levels"]["L1"]["xpassed"] == 1


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("schema",), "accel-conformance/2", "accel-conformance/2"),
        (("ok",), 1, "report.ok: expected boolean"),
        (("cases", 0, "outcome"), "fine", "report.cases[0].outcome"),
        (("cases", 0, "level"), -1, "at least 0"),
        (("cases", 0, "seconds"), "1", "expected number"),
        (("cases", 0, "parameters", "n"), 1, "report.cases[0].parameters.n"),
        (("environment", "seed"), True, "expected integer"),
        (("capabilities", 0, "verified"), "maybe", "verified"),
        (("levels", "L1", "passed"), None, "report.levels.L1.passed"),
    ],
)
def test_schema_refuses(path: tuple[str | int, ...], value: object, said: str) -> None:
    """A document that does not fit is refused, naming the place."""
    document = json.loads(json.dumps(_report(_case("passed")).to_json()))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError) as caught:
        Report.from_json(document)
    assert said in str(caught.value)


def test_schema_missing_and_other() -> None:
    document = json.loads(json.dumps(_report(_case("passed")).to_json()))
    del document["cases"][0]["rerun"]
    with pytest.raises(ValueError, match="'rerun' is missing"):
        Report.from_json(document)
    with pytest.raises(ValueError, match="list"):
        Report.from_json([])


def test_schema_uses_what_is_checked() -> None:
    """The check knows every keyword of the schema that says something about documents."""
    known = {
        "$schema", "$id", "$defs", "$ref", "title", "description", "type", "required",
        "properties", "additionalProperties", "items", "enum", "const", "minimum",
    }  # fmt: skip

    def walk(schema: dict[str, Any]) -> None:
        assert set(schema) <= known
        for group in ("properties", "$defs"):
            for each in schema.get(group, {}).values():
                walk(each)
        for key in ("items", "additionalProperties"):
            if key in schema:
                walk(schema[key])

    walk(schema_document())
    fields = {f.name for f in dataclasses.fields(CaseResult)}
    assert set(schema_document()["properties"]["cases"]["items"]["required"]) == fields
    fields = {f.name for f in dataclasses.fields(Environment)}
    assert set(schema_document()["properties"]["environment"]["required"]) == fields


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("simulated", [False, True])
def test_forms(form: str, simulated: bool) -> None:
    """Every form can be made of every outcome, and says when it was a simulator."""
    outcomes = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
    report = _report(*(_case(o) for o in outcomes), simulated=simulated)
    text = FORMS[form](report)
    assert ("simulated" in text.replace('"simulated": false', "").replace(
        'name="simulated" value="false"', "")) is simulated  # fmt: skip
    if form != "json":
        assert "\x00" not in text or form in ("markdown", "html")
    if form in ("badge", "junit"):
        ET.fromstring(text)
    if form in ("markdown", "html"):
        assert "--case" in text
        assert "a \\| b" in text if form == "markdown" else "a | b &lt;c&gt;" in text


def test_junit_counts() -> None:
    """Suites count what their cases are."""
    outcomes = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
    report = _report(*(_case(o) for o in outcomes), _case("passed", 7, level=0))
    root = ET.fromstring(FORMS["junit"](report))
    suites = {s.get("name"): s for s in root.findall("testsuite")}
    assert set(suites) == {"chip.L0", "chip.L1"}
    suite = suites["chip.L1"]
    assert suite.get("tests") == "6"
    assert suite.get("failures") == str(len(suite.findall(".//failure"))) == "2"
    assert suite.get("errors") == str(len(suite.findall(".//error"))) == "1"
    assert suite.get("skipped") == str(len(suite.findall(".//skipped"))) == "2"


def test_badge_colour() -> None:
    """Green, red and amber."""
    good, bad = _report(_case("passed")), _report(_case("failed"))
    assert "#2b7a3d" in FORMS["badge"](good)
    assert "#b5302a" in FORMS["badge"](bad)
    assert "#9a6a00" in FORMS["badge"](_report(_case("passed"), simulated=True))
