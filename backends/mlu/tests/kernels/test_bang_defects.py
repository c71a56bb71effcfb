"""The kernels' tests find what is wrong: sources with a defect each, run through the stand-in."""

from __future__ import annotations

import random
import shutil

import copy_images
import pytest
from copy_cases import Runner

#: name: (file, what stands there, what takes its place, how it shows: "" as wrong bytes,
#: or as an access that the stand-in refuses).
DEFECTS = {
    "no wait for a full tile": (
        "nram_tile.h", "Full() { __sync_io(); }", "Full() {}", "no __sync_io or __sync",
    ),
    "no wait at the end": (
        "kv_copy.mlu", "    __sync();\n  }\n\n  // What the walk", "  }\n\n  // What the walk",
        "are under way when the kernel ends",
    ),
    "one tile": ("nram_tile.h", "which_ = 1 - which_;", "", "an asynchronous copy under way reads"),
    "a row too many": (
        "nram_tile.h", "static_cast<int>(rows - 1));\n    }\n  }\n\n  __mlu_func__ void Full",
        "static_cast<int>(rows));\n    }\n  }\n\n  __mlu_func__ void Full", "",
    ),
    "strides swapped": (
        "nram_tile.h", "static_cast<int>(size + gap), static_cast<int>(size),",
        "static_cast<int>(size), static_cast<int>(size + gap),", "",
    ),
    "the wrong direction": ("nram_tile.h", "NRAM2GDRAM);", "GDRAM2NRAM);", "the direction says"),
    "more NRAM than there is": (
        "nram_tile.h", "kBytes = 160 * 1024", "kBytes = 192 * 1024", "bytes of __nram__",
    ),
    "every task does all": (
        "kv_copy.mlu", "Index() const { return taskId; }", "Index() const { return taskId & ~1; }",
        "",
    ),
    "the other base": (
        "kv_copy.mlu", "*from = launch_->words[args_.bases_at / 8 + 2 * base];",
        "*from = launch_->words[args_.bases_at / 8 + 2 * base + 1];", "",
    ),
    "half of an index": ("list_window.h", "const i64 size = list.form == ACCEL_KV_INT64 ? 8 : 4;",
                         "const i64 size = 4;", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found(name, standin, builder, tmp_path):
    file, right, wrong, shows = DEFECTS[name]
    folder = tmp_path / "kernels"
    shutil.copytree(standin.kernels, folder)
    text = (folder / file).read_text()
    assert right in text, f"{file} has no {right!r} any more"
    (folder / file).write_text(text.replace(right, wrong, 1))
    library = builder.library(folder / "kv_copy.mlu", kernels=folder, name=name.replace(" ", "_"))
    with pytest.raises(AssertionError, match=shows or "byte|race|region|no memory"):
        move(Runner(standin, library))


def test_none_is_found_in_what_is_right(standin, kv_copy):
    move(Runner(standin, kv_copy))


def move(runner):
    """Heads that lie apart, runs that do not, more than two tiles, long lists on the device."""
    sizes = {"heads": 4, "dim": 128, "blocks": 40, "size": 16, "layers": 2}
    rng = random.Random(1)
    for source, target in (("L | K B S H D", "L | K B H S D"), ("L | B K S H D", "| K L T H D")):
        src, dst = runner.image(source, 1, **sizes), runner.image(target, 2, **sizes)
        pairs = copy_images.some_pairs(640, 640, 600, rng)
        runner.move(src, dst, pairs, form="int64", cores=2)
