"""One rank: ``python -m accel_sim.testing.rank PROGRAMS MODULE.FUNCTION JSON RANK RANKS FOLDER``.

PROGRAMS is a folder with the module and with ``abi``, which has the class ``World``. Prints what
the function returns as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    programs, program, arguments, rank, ranks, folder = sys.argv[1:]
    sys.path.insert(0, programs)
    module, function = program.split(".")
    world = importlib.import_module("abi").World(int(rank), int(ranks), Path(folder))
    run = getattr(importlib.import_module(module), function)
    print(json.dumps(run(world, **json.loads(arguments))), flush=True)


if __name__ == "__main__":
    main()
