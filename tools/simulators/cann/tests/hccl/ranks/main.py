"""One rank: ``main.py MODULE.FUNCTION JSON RANK RANKS FOLDER``; prints the result as JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from abi import World


def main() -> None:
    program, arguments, rank, ranks, folder = sys.argv[1:]
    module, function = program.split(".")
    world = World(int(rank), int(ranks), Path(folder))
    run = getattr(importlib.import_module(module), function)
    print(json.dumps(run(world, **json.loads(arguments))), flush=True)


main()
