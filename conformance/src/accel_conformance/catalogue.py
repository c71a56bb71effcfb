"""All cases of the suite, without running them and without a backend."""

from __future__ import annotations

import inspect
import pkgutil
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import cases
from .case import LEVELS, case_id, case_of

__all__ = ["Entry", "catalogue", "print_catalogue"]


@dataclass(frozen=True)
class Entry:
    """One case function; its parameters are not spelled out."""

    id: str
    level: int
    needs: tuple[str, ...]
    summary: str
    parametrised: bool

    def to_json(self) -> dict[str, Any]:
        """As a plain dict."""
        return {**asdict(self), "needs": list(self.needs)}


def catalogue() -> list[Entry]:
    """Every case, by level and id."""
    entries = []
    for info in pkgutil.iter_modules(cases.__path__):
        module = import_module(f"{cases.__name__}.{info.name}")
        for name, function in vars(module).items():
            found = case_of(function) if inspect.isfunction(function) else None
            if found is None or function.__module__ != module.__name__:
                continue
            parametrised = any(m.name == "parametrize" for m in _marks(function))
            identity = case_id(found.level, info.name, name)
            wanted = tuple(c.value for c in found.needs)
            entries.append(Entry(identity, found.level, wanted, found.summary, parametrised))
    return sorted(entries, key=lambda entry: (entry.level, entry.id))


def print_catalogue(entries: list[Entry], console: Console) -> None:
    """A table for each level."""
    for level, name in LEVELS.items():
        chosen = [entry for entry in entries if entry.level == level]
        if not chosen:
            continue
        title = f"L{level} {name}"
        table = Table(title=title, box=None, title_justify="left", padding=(0, 2, 0, 0))
        table.add_column("case", no_wrap=True)
        table.add_column("needs")
        table.add_column("what it checks")
        for entry in chosen:
            star = "[dim][*][/dim]" if entry.parametrised else ""
            identity = escape(entry.id) + star.replace("[*]", r"\[*]")
            table.add_row(identity, escape(", ".join(entry.needs)), escape(entry.summary))
        console.print(table)
        console.print()


def _marks(function: object) -> list[Any]:
    return list(getattr(function, "pytestmark", []))
