"""docs/contract.md is what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WRITER = Path(__file__).resolve().parents[1] / "dev" / "contract_doc.py"


def test_contract_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(WRITER), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
