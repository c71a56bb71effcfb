"""``accel build-kernels`` for MLUs without Neuware: what is refused, what is missing, and what
cncc is given, by a program that acts as it.
"""

from __future__ import annotations

import os

import pytest

import accel
from accel.kernel_builders import KernelJob
from accel.torch_device.kernel_compilers import KernelBuildError
from accel.torch_device.kernel_files import SIMULATOR_CHIP
from accel_mlu import probe
from accel_mlu.kernel_builder import BUILDER
from accel_mlu.kernel_files import FILES

JOB = KernelJob("mtp_592", "kv_copy.mlu")

#: Writes what it was given to what it was to make; or fails, as it was told.
CNCC = """#!/bin/sh
[ -z "$CNCC_SAYS" ] || { echo "$CNCC_SAYS" >&2; exit 1; }
given="$*"
while [ "$1" != -o ]; do shift; done
echo "$given" > "$2"
"""


@pytest.fixture(autouse=True)
def no_neuware(monkeypatch, tmp_path):
    monkeypatch.setenv("NEUWARE_HOME", str(tmp_path / "neuware"))
    monkeypatch.setenv(FILES.variable, str(tmp_path / "kernels"))
    monkeypatch.setattr(probe, "look", lambda: probe.Machine())


def test_every_source_is_a_job():
    files = {job.file for job in BUILDER.jobs("mtp_372")}
    assert files == {path.name for path in FILES.sources.glob("*.mlu")}
    assert BUILDER.chips_here() == []


def test_a_chip_that_is_none():
    with pytest.raises(accel.ArgumentError, match="mtp_372, mtp_592"):
        BUILDER.jobs("mtp_290")


def test_the_simulator_only_where_it_is():
    with pytest.raises(accel.ArgumentError, match=r"no simulator's.*accel-sim cnrt run"):
        BUILDER.jobs(SIMULATOR_CHIP)


@pytest.mark.skipif(os.path.exists("/usr/local/neuware"), reason="Neuware is here")
def test_no_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(KernelBuildError, match=r"no cncc on PATH.*CNToolkit"):
        BUILDER.build(JOB)


def test_what_cncc_is_given(monkeypatch, tmp_path):
    """No compiler of the vendor's is here: this shows its arguments only."""
    cncc = tmp_path / "neuware/bin/cncc"
    cncc.parent.mkdir(parents=True)
    cncc.write_text(CNCC)
    cncc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cncc.parent}:{os.environ['PATH']}")
    assert not BUILDER.build(JOB).was_there
    given = FILES.binary_path(JOB.file, JOB.chip).read_text().split()
    assert "--bang-mlu-arch=mtp_592" in given
    assert str(FILES.sources / "kv_copy.mlu") in given
    assert f"-I{accel.get_include()}" in given
    assert "-shared" in given
    assert BUILDER.build(JOB).was_there
    monkeypatch.setenv("CNCC_SAYS", "out of paper")
    with pytest.raises(KernelBuildError, match="out of paper"):
        BUILDER.build(KernelJob("mtp_372", JOB.file))
