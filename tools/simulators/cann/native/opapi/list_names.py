"""Writes aclnn_names.txt: every operator that an unpacked torch-npu wheel looks up.

    python list_names.py PATH/torch_npu/lib/libtorch_npu.so > aclnn_names.txt

An operator X is a pair of strings in the library's read-only data, X and XGetWorkspaceSize; the
list holds names only. Run it again when a newer torch-npu is to be supported: a name that the
simulator does not compute becomes a stub which says so.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SUFFIX = b"GetWorkspaceSize"


def operators(library: bytes) -> list[str]:
    """Names X for which both X and XGetWorkspaceSize are whole strings of the library."""
    found = set(re.findall(rb"(?<=\0)acl(?:nn)?[A-Z]\w*(?=\0)", library))
    return sorted(
        name.decode() for name in found if not name.endswith(SUFFIX) and name + SUFFIX in found
    )


if __name__ == "__main__":
    print("\n".join(operators(Path(sys.argv[1]).read_bytes())))
