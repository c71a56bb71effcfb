"""``accel build-kernels`` for Ascend without CANN: what is refused, what is said to be missing, and
what the vendor's CMake functions are given, by a folder that acts as theirs.
"""

from __future__ import annotations

import shutil
import stat

import pytest

import accel
from accel.kernel_builders import KernelJob
from accel.torch_device.kernel_compilers import KernelBuildError
from accel.torch_device.kernel_files import SIMULATOR_CHIP, untrusted
from accel_ascend import probe
from accel_ascend.kernel_builder import BUILDER
from accel_ascend.kernel_files import FILES

JOB = KernelJob("Ascend910B1", "kv_copy.cpp")

#: The two functions that the project calls; the "binary" is what they were given.
RULES = """
function(ascendc_fatbin_library target source)
  file(WRITE "${CMAKE_BINARY_DIR}/${target}.o" "${SOC_VERSION} ${RUN_MODE}\\n${source}\\n")
  install(FILES "${CMAKE_BINARY_DIR}/${target}.o" DESTINATION fatbin/${target})
endfunction()
function(ascendc_include_directories target kind)
  foreach(folder ${ARGN})
    file(APPEND "${CMAKE_BINARY_DIR}/${target}.o" "${folder}\\n")
  endforeach()
endfunction()
"""


@pytest.fixture(autouse=True)
def no_toolkit(monkeypatch, tmp_path):
    for name in ("ASCENDC_CMAKE_DIR", "ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(FILES.variable, str(tmp_path / "kernels"))
    monkeypatch.setattr(probe, "look", lambda: probe.Machine())


@pytest.mark.parametrize("chip", ["Ascend310P3", "sm_90", ""])
def test_a_chip_that_cannot_run_them(chip):
    with pytest.raises(accel.ArgumentError, match="DataCopyPad"):
        BUILDER.jobs(chip)


def test_the_simulator_only_where_it_is():
    with pytest.raises(accel.ArgumentError, match=r"no simulator's.*accel-sim cann run"):
        BUILDER.jobs(SIMULATOR_CHIP)


def test_every_source_is_a_job():
    files = {job.file for job in BUILDER.jobs("Ascend910B1")}
    assert files == {path.name for path in FILES.sources.glob("*.cpp")}
    assert BUILDER.chips_here() == []
    assert BUILDER.chip_here() == ""


def test_no_toolkit():
    with pytest.raises(KernelBuildError, match=r"toolkit was not found.*set_env\.sh"):
        BUILDER.build(JOB)


def test_a_runtime_without_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    with pytest.raises(KernelBuildError, match=r"has no ascendc\.cmake in tools/tikcpp"):
        BUILDER.build(JOB)


def test_a_wrong_folder_of_rules(monkeypatch, tmp_path):
    monkeypatch.setenv("ASCENDC_CMAKE_DIR", str(tmp_path))
    with pytest.raises(KernelBuildError, match="unset the variable"):
        BUILDER.build(JOB)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_what_the_vendors_functions_are_given(monkeypatch, tmp_path):
    """No compiler of the vendor's is here: this shows the project and its arguments only."""
    place = tmp_path / "toolkit" / "compiler/tikcpp/ascendc_kernel_cmake"
    place.mkdir(parents=True)
    (place / "ascendc.cmake").write_text(RULES)
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path / "toolkit"))
    built = BUILDER.build(JOB)
    assert (built.was_there, built.kept) == (False, True)
    path = FILES.binary_path(JOB.file, JOB.chip)
    lines = path.read_text().splitlines()
    assert lines[0] == "Ascend910B1 npu"
    assert lines[1] == str(FILES.sources / "kv_copy.cpp")
    assert set(lines[2:]) == {str(FILES.sources), accel.get_include()}
    assert path.stat().st_size == built.bytes
    assert BUILDER.build(JOB).was_there
    (place / "ascendc.cmake").write_text('message(FATAL_ERROR "out of paper")')
    path.unlink()
    with pytest.raises(KernelBuildError, match="out of paper"):
        BUILDER.build(JOB)


def test_who_may_have_written_a_binary(tmp_path):
    path = tmp_path / "binary.o"
    path.write_bytes(b"x")
    path.chmod(0o755)
    tmp_path.chmod(0o700)
    assert untrusted(path) == ""
    path.chmod(0o775)
    assert "others may write it" in untrusted(path)
    path.chmod(0o755)
    tmp_path.chmod(0o777)
    assert "others may write it" in untrusted(path)
    tmp_path.chmod(0o700 | stat.S_ISVTX)
    link = tmp_path / "link.o"
    link.symlink_to(path)
    assert "symbolic link" in untrusted(link)
