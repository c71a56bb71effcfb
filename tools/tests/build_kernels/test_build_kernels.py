"""``accel build-kernels`` with fixture builders: what it asks of them, prints and exits with."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import accel_tools.kernel_building as command
from accel.distributions import FoundDistribution, FoundEntryPoint
from accel.errors import AccelError, ArgumentError
from accel.kernel_builders import BuiltKernels, KernelJob

JOBS = [("a.cu", ""), ("b.cu", "W=1"), ("b.cu", "W=2")]


class Builder:
    def __init__(self, here=("x1",), kept=True, broken=(), vendor="x"):
        self.here, self.kept, self.broken, self.vendor = here, kept, broken, vendor
        self.done: list[KernelJob] = []

    def folder(self):
        return "/the/folder"

    def chips_here(self):
        return self.here

    def jobs(self, chip):
        if not chip.startswith(self.vendor):
            raise ArgumentError("chip", f"a chip, as {self.vendor}1", chip)
        return [KernelJob(chip, file, variant) for file, variant in JOBS]

    def build(self, job):
        if job.file in self.broken:
            raise AccelError(f"{job.file} does not compile: [line 3] unknown")
        there = job in self.done
        self.done.append(job)
        return BuiltKernels(1000, there, self.kept)


class Point:
    def __init__(self, loaded):
        self.loaded = loaded

    def load(self):
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


@pytest.fixture
def run(monkeypatch):
    def run(builders, *arguments):
        owner = FoundDistribution("acme", "1.0", "/acme", True, True)
        points = [
            FoundEntryPoint(name, f"acme.{name}:BUILDER", owner, Point(builder))
            for name, builder in builders.items()
        ]
        monkeypatch.setattr(command, "entry_points_of", lambda group: (points, []))
        done = CliRunner().invoke(command.build_kernels, list(arguments))
        return done.exit_code, done.output

    return run


def test_builds_for_the_devices_here(run):
    builder = Builder(here=("x1", "x2"))
    status, output = run({"acme": builder})
    assert status == 0
    expected = {(chip, *job) for chip in ("x1", "x2") for job in JOBS}
    assert {(job.chip, job.file, job.variant) for job in builder.done} == expected
    rows = [line.split() for line in output.splitlines() if line.startswith("acme ")]
    assert sorted((row[1], row[2]) for row in rows) == sorted((c, f) for c, f, _ in expected)
    assert all(row[-1] == "built" and "1,000" in row for row in rows)
    assert "acme: 6 built, 6 in all, 6,000 bytes, in /the/folder" in output
    status, output = run({"acme": builder})
    assert status == 0 and output.count("was there") == 6 and "acme: 0 built, 6 in all" in output


def test_chips_and_backends_that_are_named(run):
    one, other = Builder(), Builder()
    chosen = ("--backend", "one", "--chip", "x7", "--chip", "x7")
    assert run({"one": one, "other": other}, *chosen)[0] == 0
    assert [job.chip for job in one.done] == ["x7"] * 3 and not other.done


def test_a_chip_is_for_the_backends_that_know_it(run):
    one, other = Builder(), Builder(vendor="y")
    assert run({"one": one, "other": other}, "--chip", "x7")[0] == 0
    assert [job.chip for job in one.done] == ["x7"] * 3 and not other.done
    status, output = run({"one": one, "other": other}, "--chip", "x8", "--chip", "z1")
    assert status == 1 and not other.done and len(one.done) == 3
    for text in (
        "one: chip: expected a chip, as x1, given z1",
        "other: chip: expected a chip, as y1",
    ):
        assert text in output


def test_json(run):
    status, output = run({"acme": Builder(broken=("a.cu",))}, "--json", "-j", "1")
    result = json.loads(output)
    assert status == 1
    assert result["folders"] == {"acme": "/the/folder"}
    assert [(k["file"], k["variant"], k["state"], k["bytes"]) for k in result["kernels"]] == [
        ("a.cu", "", "failed", 0),
        ("b.cu", "W=1", "built", 1000),
        ("b.cu", "W=2", "built", 1000),
    ]
    assert "does not compile" in result["kernels"][0]["error"]


def test_what_fails_is_printed_whole_and_the_rest_is_built(run):
    status, output = run({"acme": Builder(broken=("a.cu",))})
    assert status == 1
    assert "a.cu does not compile: [line 3] unknown" in output
    assert "acme: 2 built, 3 in all" in output


def test_a_cache_that_keeps_nothing_is_a_failure(run):
    status, output = run({"acme": Builder(kept=False)})
    assert status == 1 and output.count("not kept") == 3


@pytest.mark.parametrize(
    ("builders", "arguments", "text"),
    [
        ({}, (), "Cure: `pip install accel-cuda`"),
        ({"one": Builder()}, ("--backend", "two"), "no installed backend 'two'"),
        ({"one": Builder(here=())}, (), "no device of one is here"),
        ({"one": Builder()}, ("--chip", "y2"), "one: chip: expected a chip, as x1, given y2"),
        ({"one": ImportError("no vendor")}, (), "acme.one:BUILDER of acme 1.0 cannot be loaded"),
    ],
)
def test_mistakes(run, builders, arguments, text):
    status, output = run(builders, *arguments)
    assert status == 1 and text in output


def test_backends_without_a_device_do_not_stop_the_others(run):
    one, other = Builder(), Builder(here=())
    assert run({"one": one, "other": other})[0] == 0
    assert len(one.done) == 3 and not other.done
