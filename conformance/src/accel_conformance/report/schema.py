"""The JSON schema of a report, and a check against it that needs no further package."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["SCHEMA", "check_document", "schema_document"]

SCHEMA = "accel-conformance/1"


@cache
def schema_document() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that the package ships."""
    text = files(__package__).joinpath("schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def check_document(document: object) -> dict[str, Any]:
    """``document``, when it fits the schema.

    Raises:
        ValueError: names the first place that does not.
    """
    given = document.get("schema") if isinstance(document, Mapping) else type(document).__name__
    if given != SCHEMA:
        raise ValueError(f"not such a report: expected schema {SCHEMA!r}, given {given!r}")
    _check(document, schema_document(), "report")
    assert isinstance(document, dict)
    return document


_TYPES: dict[str, Callable[[object], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}


def _check(value: Any, schema: Mapping[str, Any], where: str) -> None:
    # The keywords that schema.json uses; its test makes sure that it uses no others.
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _check(value, schema_document()["$defs"][name], where)
    if "const" in schema and value != schema["const"]:
        raise ValueError(f"{where}: expected {schema['const']!r}, given {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        raise ValueError(f"{where}: expected one of {schema['enum']}, given {value!r}")
    kind = schema.get("type")
    if kind is not None and not _TYPES[kind](value):
        raise ValueError(f"{where}: expected {kind}, given {type(value).__name__}")
    if "minimum" in schema and value < schema["minimum"]:
        raise ValueError(f"{where}: expected at least {schema['minimum']}, given {value}")
    if isinstance(value, dict):
        _check_object(value, schema, where)
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            _check(item, schema["items"], f"{where}[{index}]")
    return None


def _check_object(value: dict[str, Any], schema: Mapping[str, Any], where: str) -> None:
    for key in schema.get("required", ()):
        if key not in value:
            raise ValueError(f"{where}: {key!r} is missing")
    properties = schema.get("properties", {})
    for key, item in value.items():
        rule = properties.get(key, schema.get("additionalProperties"))
        if rule is not None:
            _check(item, rule, f"{where}.{key}")
