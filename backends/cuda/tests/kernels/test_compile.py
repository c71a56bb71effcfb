"""Every kernel file compiles by NVRTC for every chip, without a GPU, and kernels do not spill."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest
from cuda_shim import harness

import accel
from accel_cuda import kernel_files, kernels
from accel_cuda.compiler import Compiler, KernelCompileError

SHIM = harness.SHIM
CHIPS = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
FILES = [*kernel_files.names(), SHIM / "primitives.cu", SHIM / "async_primitives.cu"]
SAMPLE = 3  # of a file's variants, drawn anew for every chip; all of them with ACCEL_SOAK=1
SEED = int(os.environ.get("ACCEL_STRESS_SEED", 1))


def cases():
    for file in FILES:
        every = kernel_files.variants(str(file))
        for chip in CHIPS:
            draw = random.Random(f"{SEED} {file} {chip}")
            some = every if os.environ.get("ACCEL_SOAK") == "1" else every[:1]
            rest = [variant for variant in every if variant not in some]
            for defines in [*some, *draw.sample(rest, min(SAMPLE - 1, len(rest)))]:
                words = [Path(file).name, *(f"{key}={value}" for key, value in defines.items())]
                yield pytest.param(file, defines, chip, id=" ".join([*words, chip]))


#: Bytes of a thread: a word or two that wait over a loop cost less than one block fewer at a time.
MOST_SPILLED = 32


@pytest.fixture(scope="module")
def nvrtc():
    try:
        return Compiler("cuda")
    except accel.BackendUnavailableError as error:
        pytest.skip(f"NVRTC: {error.cure}")


@pytest.mark.parametrize(("file", "defines", "chip"), list(cases()))
def test_every_file_for_every_chip(nvrtc, file, defines, chip):
    report = ("--ptxas-options=-v", "--ptxas-options=--warn-on-spills")
    compiled = kernels.compile_file(nvrtc, chip, file, defines, report)
    assert compiled.image[:4] == b"\x7fELF"
    warnings = [line for line in compiled.log.splitlines() if re.search(r"\bwarning\b", line)]
    assert not [line for line in warnings if "spill" not in line.lower()], compiled.log
    name = Path(file).name
    bounds = r"(?:_BOUNDS\(\s*[^,]+,[^,]+,|\()"
    declared = set(re.findall(rf"^ACCEL_KERNEL{bounds}\s*(\w+),", _code(file), re.MULTILINE))
    resources = compiled.resources()
    assert resources
    assert declared <= set(resources), "a kernel that the compiler has not seen"
    for kernel, used in resources.items():
        print(f"{name} {kernel} {chip}: {used}")
        assert used.spill_store_bytes <= MOST_SPILLED, (kernel, used)
        assert used.spill_load_bytes <= 2 * MOST_SPILLED, (kernel, used)


def _code(file):
    """Without preprocessor lines: kernels that macros make have made-up names."""
    text = _uncommented(kernel_files.FOLDER / file)
    return re.sub(r"^\s*#.*(?:\\\n.*)*", "", text, flags=re.MULTILINE)


def _uncommented(path):
    text = path.read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def test_resources_are_read(nvrtc, tmp_path):
    """A kernel that must spill: 255 values at a time in 32 registers."""
    source = tmp_path / "greedy.cu"
    source.write_text(
        '#include "device.h"\n'
        "struct a { accel_u64 in, out; };\n"
        "ACCEL_KERNEL(greedy, a, args) {\n"
        "  ACCEL_SHARED float tile[12];\n"
        "  const float* in = accel_pointer<const float>(args.in);\n"
        "  float v[96], sum = 0;\n"
        "  for (int i = 0; i < 96; ++i) v[i] = in[i];\n"
        "  tile[accel_lane() % 12] = v[0];\n"
        "  accel_sync_threads();\n"
        "  for (int i = 0; i < 96; ++i) sum = sum * v[95 - i] + v[i];\n"
        "  accel_pointer<float>(args.out)[accel_thread()] = sum + tile[3];\n"
        "}\n"
    )
    extra = ("--ptxas-options=-v", "--maxrregcount=32")
    used = kernels.compile_file(nvrtc, "sm_90", source, None, extra).resources()["greedy"]
    assert used.spill_store_bytes > 0 and used.spill_load_bytes > 0
    assert (used.registers, used.shared_bytes) == (32, 48)


def test_errors_carry_the_log_and_the_cure(nvrtc, tmp_path):
    source = tmp_path / "broken.cu"
    source.write_text('#include "device.h"\nACCEL_KERNEL(k, unknown_args, args) {}\n')
    with pytest.raises(KernelCompileError, match="unknown_args") as raised:
        kernels.compile_file(nvrtc, "sm_90", source)
    assert (raised.value.file, raised.value.chip) == ("broken.cu", "sm_90")
    with pytest.raises(KernelCompileError, match=r"compiles for sm_75.*knows sm_61"):
        kernels.compile_file(nvrtc, "sm_61", SHIM / "primitives.cu")


def test_a_chip_of_the_future_gets_ptx(nvrtc):
    newest = nvrtc.chips()[-1].removeprefix("sm_")
    image = kernels.compile_file(nvrtc, "sm_999", SHIM / "primitives.cu").image
    assert f".target sm_{newest}".encode() in image


@pytest.mark.parametrize(
    ("chip", "known", "expected"),
    [
        ("sm_90", ["sm_75", "sm_90"], "sm_90"),
        ("sm_90", [], "sm_90"),
        ("sm_103", ["sm_90", "sm_100"], "compute_100"),
        ("sm_61", ["sm_75", "sm_90"], "sm_61"),  # the compiler will say what is wrong
        ("gfx942:sramecc+", [], "gfx942:sramecc+"),
    ],
)
def test_targets(chip, known, expected):
    assert kernel_files.target("anything.cu", chip, known) == expected


def test_options_of_a_file(monkeypatch):
    monkeypatch.setitem(
        kernel_files.FILES,
        "special.cu",
        kernel_files.FileOptions(fused=True, arch_specific=True, max_registers=64),
    )
    plain = kernel_files.options("cuda", "plain.cu", {"WIDTH": 16, "DEPTH": 2})
    special = kernel_files.options("cuda", "special.cu")
    assert "--fmad=false" in plain and plain[-2:] == ["-DDEPTH=2", "-DWIDTH=16"]
    assert "--fmad=false" not in special and "--maxrregcount=64" in special
    assert "-ffp-contract=off" in kernel_files.options("hip", "plain.cu")
    assert kernel_files.target("special.cu", "sm_90", ["sm_90"]) == "sm_90a"
    assert kernel_files.target("special.cu", "gfx90a", []) == "gfx90a"
    monkeypatch.setenv("ACCEL_KERNEL_OPTIONS", "--generate-line-info -DA='b c'")
    assert kernel_files.options("cuda", "plain.cu")[-2:] == ["--generate-line-info", "-DA=b c"]


def test_entries_of_the_table_name_files():
    assert set(kernel_files.FILES) <= set(kernel_files.names())


def test_variants(monkeypatch):
    tables = {"A": (1, 2), "B": ("x", "y")}, {"A": (3,), "B": ("z",)}
    entry = kernel_files.FileOptions(defines=tables)
    monkeypatch.setitem(kernel_files.FILES, "special.cu", entry)
    listed = [tuple(one.values()) for one in kernel_files.variants("special.cu")]
    assert listed == [(1, "x"), (1, "y"), (2, "x"), (2, "y"), (3, "z")]
    assert kernel_files.variants("plain.cu") == [{}]


def test_sources_include_nothing_but_ours():
    """No header of C, C++, CUDA or HIP but the one that hipcc needs."""
    known = set(kernel_files.read(str(SHIM / "primitives.cu")).headers)
    for path in [*kernel_files.FOLDER.glob("*.cu"), *kernel_files.FOLDER.glob("*.h")]:
        for name in re.findall(r'#\s*include\s*[<"](.*?)[>"]', _uncommented(path)):
            allowed = known | {"device_host.h", "async_copy_host.h", "hip/hip_runtime.h"}
            assert name in allowed, f"{path.name} includes {name}"
