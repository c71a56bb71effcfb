"""Entry points of installed distributions, read one by one so that no broken one hides the rest.

``importlib.metadata.entry_points()`` raises as a whole when one distribution's file is malformed,
and says nothing about a directory that lost its METADATA.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["FoundDistribution", "FoundEntryPoint", "entry_points_of"]


@dataclass(frozen=True)
class FoundDistribution:
    """Who installed an entry point. ``name`` falls back to the directory's name."""

    name: str
    version: str
    path: str  #: of its dist-info or egg-info directory; empty when unknown
    has_metadata: bool  #: False: METADATA is gone, pip cannot see or uninstall it
    has_record: bool  #: False: the list of its files is gone, pip cannot uninstall it

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()

    @property
    def reinstall(self) -> str:
        """The command that repairs a half-installed distribution."""
        if not self.has_metadata:
            return (
                f"`rm -r {self.path}` (its METADATA is gone, so pip cannot uninstall it),"
                f" then `pip install {self.name}` if it is still wanted"
            )
        if not self.has_record:
            return (
                f"`pip install --ignore-installed --no-deps {self.name}` (its RECORD is gone, so"
                f" pip cannot uninstall it), or `rm -r {self.path}`"
            )
        return (
            f"`pip install --force-reinstall {self.name}`,"
            f" or `pip uninstall {self.name}` to drop it"
        )


@dataclass(frozen=True)
class FoundEntryPoint:
    """One entry point and the distribution that it came from."""

    name: str
    value: str
    distribution: FoundDistribution
    entry_point: EntryPoint = field(compare=False, repr=False)

    def load(self) -> Any:
        """Import what it names."""
        return self.entry_point.load()


def entry_points_of(group: str) -> tuple[list[FoundEntryPoint], list[str]]:
    """The entry points of ``group``, sorted, and one line for every distribution that is damaged.

    As Python's own import does, a distribution earlier on ``sys.path`` hides a later one of the
    same name; when the two differ that is one of the lines.
    """
    from importlib.metadata import distributions

    found: dict[tuple[str, str, str], FoundEntryPoint] = {}
    problems: list[str] = []
    first_seen: dict[str, FoundDistribution] = {}
    for dist in distributions():
        try:
            text = dist.read_text("entry_points.txt")
            if not text or group not in text:
                continue
            points = [e for e in dist.entry_points if e.group == group]
        except Exception as error:
            problems.append(
                f"{_directory(dist) or 'a distribution'}: entry_points.txt cannot be read"
                f" ({type(error).__name__}: {error}); if it has a plugin, reinstall it"
            )
            continue
        if not points:
            continue
        about = _describe(dist)
        key = about.name.lower().replace("-", "_")
        earlier = first_seen.setdefault(key, about)
        if earlier is not about:
            if (earlier.version, earlier.has_metadata) != (about.version, about.has_metadata):
                problems.append(
                    f"{about} in {about.path} is hidden by {earlier} in {earlier.path};"
                    f" remove one of them"
                )
            continue
        if not about.has_metadata:
            problems.append(f"{about.path} has no METADATA; cure: {about.reinstall}")
        for point in points:
            entry = FoundEntryPoint(point.name, point.value, about, point)
            found.setdefault((about.name, point.name, point.value), entry)
    return [found[key] for key in sorted(found)], problems


def _describe(dist: Distribution) -> FoundDistribution:
    directory = _directory(dist)
    # "acme_accel-1.0.dist-info": what is left to go by when METADATA is gone.
    stem, _, version = Path(directory).stem.partition("-") if directory else ("unknown", "", "")
    name: str | None = None
    try:
        name = dist.metadata["Name"]
        version = dist.metadata["Version"] or version
    except Exception:
        # Python 3.14 raises where earlier releases return None; the directory's name stands in.
        name = None
    return FoundDistribution(
        name=name or stem.replace("_", "-"),
        version=version,
        path=directory,
        has_metadata=bool(name),
        has_record=_has_file_list(dist),
    )


def _directory(dist: Distribution) -> str:
    path = getattr(dist, "_path", None)
    return "" if path is None else str(path)


def _has_file_list(dist: Distribution) -> bool:
    try:
        return dist.files is not None
    except Exception:
        return False
