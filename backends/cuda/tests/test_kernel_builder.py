"""``accel build-kernels`` over this backend's own kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import accel
from accel_cuda import kernel_files, kernels
from accel_cuda.compiler import Compiler
from accel_cuda.kernel_builder import BUILDER


def test_jobs_are_all_files_in_all_variants():
    jobs = BUILDER.jobs("sm_90")
    assert {job.file for job in jobs} == set(kernel_files.names())
    count = sum(len(kernel_files.variants(file)) for file in kernel_files.names())
    assert len(jobs) == len(set(jobs)) == count


@pytest.mark.parametrize("chip", ["", "90", "sm90", "sm_90a", "gfx942 ", "volta"])
def test_what_is_no_chip(chip):
    with pytest.raises(accel.ArgumentError, match="as sm_90 or gfx942"):
        BUILDER.jobs(chip)


def test_the_command(tmp_path):
    """One small file's worth: what is built is what a program finds."""
    try:
        Compiler("cuda")
    except accel.BackendUnavailableError as error:
        pytest.skip(f"NVRTC: {error.cure}")
    environment = {**os.environ, "ACCEL_KERNEL_CACHE": str(tmp_path / "cache")}
    program = (
        "import accel_cuda.kernel_files as files; from accel_tools.cli import main;"
        f"files.names = lambda: [{smallest()!r}]; main()"
    )

    def run():
        done = subprocess.run(
            [
                sys.executable, "-c", program, "build-kernels", "--json",
                "--backend", "cuda", "--chip", "sm_80",
            ],
            capture_output=True,
            text=True,
            env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    first = run()
    assert first["folders"] == {"cuda": str(tmp_path / "cache")}
    assert {kernel["state"] for kernel in first["kernels"]} == {"built"}
    again = run()
    assert {kernel["state"] for kernel in again["kernels"]} == {"was there"}
    assert [k["bytes"] for k in again["kernels"]] == [k["bytes"] for k in first["kernels"]]


def smallest():
    """The file that compiles fastest, as far as its size tells."""
    few = min(len(kernel_files.variants(name)) for name in kernel_files.names())
    names = [name for name in kernel_files.names() if len(kernel_files.variants(name)) == few]
    return min(names, key=lambda name: (kernel_files.FOLDER / name).stat().st_size)


def test_what_the_builder_makes_is_found(tmp_path, monkeypatch):
    try:
        Compiler("cuda")
    except accel.BackendUnavailableError as error:
        pytest.skip(f"NVRTC: {error.cure}")
    monkeypatch.setenv("ACCEL_KERNEL_CACHE", str(tmp_path))
    monkeypatch.setattr(kernels, "_cache", None)
    job = next(job for job in BUILDER.jobs("sm_86") if job.file == smallest())
    built = BUILDER.build(job)
    assert (built.was_there, built.kept) == (False, True) and built.bytes > 0
    assert BUILDER.build(job).was_there
    defines = kernel_files.variants(job.file)[0]
    image, was_there = kernels.build("cuda", "sm_86", job.file, defines)
    assert was_there and len(image) == built.bytes
