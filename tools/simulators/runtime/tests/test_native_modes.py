"""What the C++ core reads is what `Modes.variables` writes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from accel_sim import Fault, Modes, native_sources

SHOW = r"""
#include <cstdio>
#include "accel_sim/modes.hpp"

int main() {
  const accel_sim::Modes& m = accel_sim::modes();
  std::printf("%llu %u %d %d %llu '%s' '%s' '%s'\n", (unsigned long long)m.seed, m.delay_us,
              m.strict, m.devices, (unsigned long long)m.memory, m.trace.c_str(),
              accel_sim::choice("ACCEL_SIM_CANN", {"8.5", "8.3", "8.0"}).c_str(),
              accel_sim::choice("ACCEL_SIM_SOC", {"910B", "310P"}).c_str());
  for (const accel_sim::Fault& f : m.faults)
    std::printf("%s %llu %d %d %llu %d\n", f.call.c_str(), (unsigned long long)f.nth, f.code,
                f.on_stream, (unsigned long long)f.ms, f.rank);
}
"""


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler (c++, g++, clang++)")
    folder = tmp_path_factory.mktemp("modes")
    (folder / "show.cpp").write_text(SHOW)
    native = Path(native_sources())
    words = [
        compiler,
        "-std=c++17",
        "-pthread",
        f"-I{native / 'include'}",
        str(folder / "show.cpp"),
    ]
    words += [str(native / "modes.cpp"), "-o", str(folder / "show")]
    subprocess.run(words, check=True)
    return folder / "show"


def run(show: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    plain = {key: text for key, text in os.environ.items() if not key.startswith("ACCEL_SIM_")}
    environment = {**plain, **variables}
    return subprocess.run([show], env=environment, capture_output=True, text=True, check=False)


def test_everything_arrives(show: Path) -> None:
    texts = [
        "call=aclrtMemcpyAsync,nth=3,code=507899",
        "call=aclrtMemcpyAsync,where=stream",
        "oom,nth=12",
        "rank_dies,rank=3,nth=2",
        "copy_stalls,ms=250",
    ]
    modes = Modes(2**40, 700, True, tuple(map(Fault.parse, texts)), "/tmp/a b", 5, 3 << 30)
    variables = modes.variables() | {"ACCEL_SIM_CANN": "8.3", "ACCEL_SIM_SOC": "310P"}
    done = run(show, variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{2**40} 700 1 5 {3 << 30} '/tmp/a b' '8.3' '310P'",
        "aclrtMemcpyAsync 3 507899 0 0 -1",
        "aclrtMemcpyAsync 1 0 1 0 -1",
        "oom 12 0 0 0 -1",
        "rank_dies 2 0 0 0 3",
        "copy_stalls 1 0 0 250 -1",
    ]


def test_nothing_asked_for(show: Path) -> None:
    first = run(show, {}).stdout.split()
    assert first[1:3] == ["0", "0"], "no delays, not strict"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SEED", "x"),
        ("DELAY_US", "-3"),
        ("FAULTS", "call=f,nth=0"),
        ("FAULTS", "nth=2"),
        ("CANN", "9"),
    ],
)
def test_what_makes_no_sense_ends_the_program(show: Path, name: str, text: str) -> None:
    done = run(show, {f"ACCEL_SIM_{name}": text})
    assert done.returncode == 2
    assert f"ACCEL_SIM_{name}" in done.stderr
