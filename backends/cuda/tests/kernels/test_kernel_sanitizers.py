"""The tests of kernels once more, with sanitizers: every family's test file in a process whose
sanitizer is there from the start. ThreadSanitizer finds races between the threads of a block,
whichever order they had; defects that are planted here show that it does. Of a family's tests a few
are drawn; ACCEL_SOAK=1 runs all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_shim import harness

HERE = Path(__file__).parent
FILES = sorted(
    path
    for path in HERE.glob("test_*.py")
    if path.name not in (Path(__file__).name, "test_compile.py", "test_hip_standin.py")
)
#: Of each family two tests, more of the shim's own.
SAMPLE = "all" if os.environ.get("ACCEL_SOAK") == "1" else "2 test_shim.py=15"
RUNTIMES = {"address,undefined": ["libasan.so", "libubsan.so"], "thread": ["libtsan.so"]}

PLANTED = """
#include "device.h"
#include "async_copy.h"
struct pair { accel_u64 in, out; accel_u32 count, extra; };
ACCEL_KERNEL(one_byte_too_many, pair, args) {
  accel_pointer<accel_u8>(args.out)[args.count] = 1;
}
ACCEL_KERNEL(unaligned_word, pair, args) {
  *accel_pointer<accel_u32>(args.out + 1) = 1;
}
ACCEL_KERNEL(shift_too_far, pair, args) {
  *accel_pointer<accel_u32>(args.out) = 1u << (args.count + 30);
}
ACCEL_KERNEL(unwritten_neighbour, pair, args) {
  ACCEL_SHARED accel_u32 tile[64];
  tile[accel_thread()] = args.count;
  accel_pointer<accel_u8>(args.out)[accel_thread() % 4] = (accel_u8)tile[accel_thread() ^ 33u];
}
ACCEL_KERNEL(shuffle_is_no_barrier, pair, args) {
  ACCEL_SHARED accel_u32 tile[64];
  tile[accel_thread()] = args.count;
  const accel_u32 v = accel_shuffle(args.count, 3);
  if (accel_lane() == 0) *accel_pointer<accel_u32>(args.out) = tile[5] + v;
}
ACCEL_KERNEL(second_round, pair, args) {
  ACCEL_SHARED accel_u32 tile[64];
  for (accel_u32 i = 0; i < 2; ++i) {
    tile[accel_thread()] = i;
    accel_sync_threads();
    const accel_u32 v = tile[63 - accel_thread()];  // ... and no barrier before the next write
    if (v == 9) *accel_pointer<accel_u32>(args.out) = v;
  }
}
ACCEL_KERNEL(all_is_well, pair, args) {
  ACCEL_SHARED accel_u32 tile[64];
  ACCEL_SHARED accel_u32 sum;
  if (accel_thread() == 0) sum = 0;
  for (accel_u32 i = 0; i < 3; ++i) {
    tile[accel_thread()] = i;
    accel_sync_threads();
    accel_atomic_add(&sum, tile[63 - accel_thread()]);
    accel_sync_threads();
    tile[accel_thread()] = 1;
    accel_sync_group();
    accel_atomic_add(&sum, tile[accel_thread() ^ 1u]);
    accel_sync_threads();
  }
  if (accel_thread() == 63 && accel_block_x() == 0) *accel_pointer<accel_u32>(args.out) = sum;
}
"""
RUN = """
import os, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from cuda_shim import harness
from pathlib import Path
library = harness.ShimBuilder(Path(os.environ["ACCEL_SHIM_BUILD"])).library(sys.argv[2])
for kernel in sys.argv[3:]:
    with library.memory() as memory:
        out = memory.put(np.zeros(1, np.uint32))
        args = np.array([0, out.ctypes.data, 4], np.uint64).tobytes()
        library.launch(kernel, args, block=64, grid=2)
        print("result", int(out[0]))
    print("-- ended", file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module", autouse=True)
def builds(tmp_path_factory):
    """Where all processes of this file keep what they have compiled."""
    folder = tmp_path_factory.mktemp("sanitized")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCEL_SHIM_BUILD", str(folder))
        yield folder


@pytest.fixture
def planted(builds):
    """The arguments of RUN that say where harness and kernels are."""
    source = builds / "planted.cu"
    source.write_text(PLANTED)
    return str(harness.SHIM.parent), str(source)


def command(sanitizer, *arguments, **variables):
    """Runs Python with the sanitizer loaded first; skips where the compiler has none."""
    name = os.environ.get("CXX", "g++")
    runtimes = []
    for library in RUNTIMES[sanitizer]:
        try:
            found = subprocess.run(
                [name, f"-print-file-name={library}"], capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            pytest.skip(f"{name}: sets CXX to a g++ with {library}")
        if not os.path.isabs(found):
            pytest.skip(f"{library}: {name} has none")
        runtimes.append(found)
    environment = {
        **os.environ,
        "ACCEL_SHIM_SANITIZE": sanitizer,
        "LD_PRELOAD": " ".join(runtimes),
        "ASAN_OPTIONS": "detect_leaks=0",
        "TSAN_OPTIONS": "halt_on_error=1",
        "OMP_NUM_THREADS": "1",  # the sanitizer does not know how torch's threads wait
        **variables,
    }
    for variable in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        environment.pop(variable, None)
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=1800,
        env=environment,
        cwd=HERE,
    )


@pytest.fixture(params=RUNTIMES)
def sanitizer(request):
    done = command(request.param, "-c", "import numpy; print('started')")
    if "started" not in done.stdout:
        pytest.skip(f"-fsanitize={request.param} does not start here: {done.stderr[:200]}")
    return request.param


def test_files_under_sanitizers(sanitizer):
    arguments = ("-m", "pytest", "-x", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = command(sanitizer, *arguments, *map(str, FILES), ACCEL_SHIM_SAMPLE=SAMPLE)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("kernel", "report"),
    [
        ("one_byte_too_many", "heap-buffer-overflow"),
        ("unaligned_word", "misaligned address"),
        ("shift_too_far", "shift exponent 34"),
    ],
)
def test_addresses_and_undefined_behaviour_are_seen(planted, kernel, report):
    done = command("address,undefined", "-c", RUN, *planted, kernel)
    assert done.returncode != 0 and report in done.stderr, done.stdout + done.stderr
    assert "planted.cu" in done.stderr


def test_races_are_seen(planted):
    racing = ["unwritten_neighbour", "shuffle_is_no_barrier", "second_round"]
    done = command("thread", "-c", RUN, *planted, *racing, TSAN_OPTIONS="halt_on_error=0")
    reports = dict(zip(racing, done.stderr.split("-- ended")[:-1], strict=True))
    for kernel, report in reports.items():
        assert "data race" in report and f"{kernel}_body" in report, done.stderr


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_sound_kernel_passes(planted, name):
    done = command(name, "-c", RUN, *planted, "all_is_well")
    assert done.returncode == 0, done.stderr
    assert "result 384" in done.stdout
