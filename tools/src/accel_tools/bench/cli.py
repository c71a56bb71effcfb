"""The commands ``accel bench memcpy``, ``calls``, ``staging``, ``kv``, ``pipeline``, ``decode``."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .shapes import SHAPES

if TYPE_CHECKING:
    from .site import Site
    from .workload import Workload

__all__ = ["bench"]

F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"": 0, "k": 10, "m": 20, "g": 30}
WIDTH = 180
DEFAULT_MAX = 1 << 30
QUICK_MAX = 16 << 20
DEFAULT_TOKENS = (256, 2048, 8192)
QUICK_TOKENS = (256,)
LAYER_SIZES = (1 << 20, 8 << 20, 32 << 20)


def _bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """``65536``, ``64K``, ``64KiB``, ``1G``: units are powers of 1024."""
    if value is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)\s*(?:([kmg])(?:i?b)?|b)?", value.strip().lower())
    if match is None:
        raise click.BadParameter(f"{value!r} is not a size such as 65536, 64KiB or 1G", ctx, param)
    return int(match[1]) << UNITS[match[2] or ""]


def _counts(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """``256,2048``: positive numbers, each once."""
    if value is None:
        return None
    parts = value.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r} is not a list such as 256,2048", ctx, param)
    return tuple(dict.fromkeys(int(part) for part in parts))


def _sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """``1M,64M``: sizes, each once."""
    if value is None:
        return None
    sizes = (_bytes(ctx, param, part) for part in value.split(","))
    return tuple(dict.fromkeys(size for size in sizes if size is not None))


def _multiples(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    """``0.5,2``: numbers from 0 to 1000, each once."""
    try:
        given = tuple(dict.fromkeys(float(part) for part in value.split(",")))
    except ValueError:
        given = ()
    if not given or not all(0 <= number <= 1000 for number in given):
        raise click.BadParameter(f"{value!r} is not a list such as 0.5,2", ctx, param)
    return given


def _common(command: F) -> F:
    options = (
        click.option(
            "--backend", metavar="NAME", help="Which backend; by default as get_backend()."
        ),
        click.option(
            "--device", metavar="DEVICE", help="Such as cuda:1; by default its current one."
        ),
        click.option(
            "--max-bytes",
            metavar="BYTES",
            callback=_bytes,
            help="Largest payload. Default 1 GiB, an eighth of the free memory if that is less;"
            " for memcpy and staging --quick 16 MiB.",
        ),
        click.option("--quick", is_flag=True, help="Less of everything, in less than 15 seconds."),
        click.option(
            "--seconds",
            type=click.FloatRange(min=0, min_open=True),
            help="Measuring time of a row.",
        ),
        click.option(
            "--within",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Begin no row later than this.",
        ),
        click.option(
            "--torch/--no-torch",
            "torch_ways",
            default=True,
            help="Time how plain torch does the same.  [default: torch]",
        ),
        click.option("--seed", type=int, default=0, show_default=True, help="Of data and slots."),
        click.option(
            "--only", multiple=True, metavar="PATTERN", help="Rows with this in the name, or glob."
        ),
        click.option("--list", "list_only", is_flag=True, help="Name the rows; measure nothing."),
        click.option(
            "--json",
            "json_file",
            is_flag=False,
            flag_value="-",
            metavar="[FILE]",
            help="Write the report there; without FILE to standard output, and no table.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


_plot = click.option(
    "--plot",
    "plot_file",
    metavar="FILE",
    help="Draw each row's share of a plain copy; .png, .svg or .pdf (needs matplotlib).",
)
_png = click.option(
    "--png",
    "png_file",
    metavar="FILE",
    help="Draw what ran when on each stream, and the gaps (needs matplotlib).",
)


@click.group()
def bench() -> None:
    """Measure a backend against plain copies of the same bytes.

    Exits with 1 when a result was wrong or a call failed, whatever the speed.
    """


@bench.command()
@_common
@_plot
def memcpy(**options: Any) -> None:
    """Copies, fills and what a call costs."""
    from .suites import memcpy_suite

    site, max_bytes = _site(options)
    _measure("memcpy", site, list(memcpy_suite(site, max_bytes)), [], options)


@bench.command()
@_common
def calls(**options: Any) -> None:
    """What calls on streams and events cost the host, and the smallest copies."""
    from .suites import calls_suite

    site, max_bytes = _site(options)
    _measure("calls", site, list(calls_suite(site, max_bytes)), [], options)


@bench.command()
@_common
@_png
@_plot
def staging(**options: Any) -> None:
    """HostStaging: to the host and back, pageable and pinned."""
    from .suites import staging_suite

    site, max_bytes = _site(options)
    _measure("staging", site, list(staging_suite(site, max_bytes)), [], options)


@bench.command()
@_common
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    type=click.Choice([*SHAPES, "all"]),
    help="KV shape of a model; may be repeated. Default cpu-16x8x128 on the CPU, else llama-3-8b.",
)
@click.option(
    "--tokens",
    metavar="N,N,...",
    callback=_counts,
    help="Token counts. Default 256,2048,8192; quick 256.",
)
@click.option(
    "--layout",
    "layouts",
    multiple=True,
    metavar="LAYOUT",
    help="A preset or axis letters: adds transfers to and from it; may be repeated.",
)
@click.option(
    "--index",
    type=click.Choice(["host", "device"]),
    default="host",
    show_default=True,
    help="Where slots and block mappings lie.",
)
@click.option(
    "--every-pair", is_flag=True, help="Only transfers, between every two layouts of engines."
)
@_plot
def kv(**options: Any) -> None:
    """KV-cache transfers, block copies, writes and gathers."""
    from accel import AccelError
    from accel.kv import KVLayout

    from .suites import KVRequest, kv_suite

    for layout in options["layouts"]:
        try:
            KVLayout(layout)
        except AccelError as error:
            raise click.BadParameter(str(error), param_hint="--layout") from error
    site, max_bytes = _site(options)
    names = options["shapes"] or (("llama-3-8b",) if site.separate else ("cpu-16x8x128",))
    if "all" in names:
        names = tuple(SHAPES)
    request = KVRequest(
        tuple(SHAPES[name] for name in dict.fromkeys(names)),
        options["tokens"] or (QUICK_TOKENS if options["quick"] else DEFAULT_TOKENS),
        options["layouts"],
        options["every_pair"],
    )
    workloads, left_out = kv_suite(site, request, max_bytes)
    _measure("kv", site, workloads, left_out, options)


@bench.command()
@_common
@click.option(
    "--sizes",
    metavar="BYTES,BYTES,...",
    callback=_sizes,
    help="Bytes of a layer. Default 1M,8M,32M; quick 1M.",
)
@click.option(
    "--compute",
    "multiples",
    metavar="X,X,...",
    default="0.5,1.5,4",
    show_default=True,
    callback=_multiples,
    help="How long a layer computes: multiples of the time that its copy takes.",
)
@click.option(
    "--layers", type=click.IntRange(2, 1000), default=12, show_default=True, help="In a pass."
)
@click.option(
    "--ahead", type=click.IntRange(1, 100), default=2, show_default=True, help="Layers prefetched."
)
@click.option("--write-back", is_flag=True, help="Copy each layer back to the host as well.")
@_png
def pipeline(**options: Any) -> None:
    """Layers prefetched from the host, against copy and compute in turn."""
    from .pipeline.command import run

    options["sizes"] = options["sizes"] or ((1 << 20,) if options["quick"] else LAYER_SIZES)
    site, max_bytes = _site(options)
    run(site, max_bytes, WIDTH, options)


@bench.command()
@_common
@click.option(
    "--sizes", metavar="BYTES,...", callback=_sizes, help="Bytes of a layer. Default 8M; quick 1M."
)
@click.option(
    "--compute",
    "multiples",
    metavar="X,X,...",
    default="3.5",
    show_default=True,
    callback=_multiples,
    help="How long a layer's products take: multiples of the time of its copy.",
)
@click.option("--layers", type=click.IntRange(2, 1000), help="In a pass. Default 80; quick 8.")
@click.option(
    "--ahead", type=click.IntRange(1, 100), default=2, show_default=True, help="Layers prefetched."
)
@_png
def decode(**options: Any) -> None:
    """An 80-layer loop: copies from the host behind matrix products, and what the host pays."""
    from .pipeline.decode_command import run

    options["sizes"] = options["sizes"] or ((1 << 20,) if options["quick"] else (8 << 20,))
    options["layers"] = options["layers"] or (8 if options["quick"] else 80)
    site, _ = _site(options)
    run(site, WIDTH, options)


def _site(options: dict[str, Any]) -> tuple[Site, int]:
    """The site, and the largest payload in bytes."""
    import accel

    from .environment import available_memory
    from .site import Site

    try:
        backend = accel.get_backend(options["backend"], options["device"])
    except accel.AccelError as error:
        raise click.ClickException(str(error)) from error
    site = Site(
        backend,
        seed=options["seed"],
        index_on_device=options.get("index") == "device",
        timelines=bool(options.get("png_file")),
        torch_ways=options.get("torch_ways", True),
    )
    if options["max_bytes"] is not None:
        return site, options["max_bytes"]
    free = available_memory()
    bound = DEFAULT_MAX if free is None else min(DEFAULT_MAX, free // 8)
    # KV rows are bounded by their token counts already.
    quick = options["quick"] and "tokens" not in options
    return site, min(bound, QUICK_MAX) if quick else bound


def _measure(
    kind: str,
    site: Site,
    workloads: Sequence[Workload],
    left_out: Sequence[str],
    options: dict[str, Any],
) -> None:
    from rich.console import Console

    from .bars import draw_bars
    from .environment import describe
    from .measure import Budget
    from .report import document, print_report
    from .row_timelines import draw_row_timelines
    from .runner import run_all, selected
    from .targets import check_targets

    check_targets(options)
    target, picture = options["json_file"], options.get("png_file")
    chosen = selected(workloads, options["only"])
    if options["list_only"]:
        for workload in chosen:
            click.echo(workload.name)
        return
    if not chosen:
        said = "; ".join(left_out) or f"no row matches {', '.join(options['only'])}"
        raise click.UsageError(f"nothing to measure: {said}")
    budget = Budget(seconds=options["seconds"] or (0.05 if options["quick"] else 0.3))
    errors = Console(stderr=True)
    errors.print(f"seed {options['seed']}", highlight=False)
    with errors.status("") as status:
        total = len(chosen)
        counter = iter(range(1, total + 1))

        def progress(workload: Workload) -> None:
            status.update(f"{next(counter)}/{total} {workload.name}")

        rows = run_all(chosen, site, budget, progress, options["within"] or math.inf)
    report = document(kind, describe(site.backend, options["seed"]), rows, left_out)
    if options.get("plot_file") and not draw_bars(Path(options["plot_file"]), report, rows):
        click.echo(f"nothing was measured, so {options['plot_file']} was not written", err=True)
    if picture and not draw_row_timelines(Path(picture), report, rows):
        click.echo(f"no row has a timeline, so {picture} was not written", err=True)
    if target == "-":
        click.echo(json.dumps(report, indent=2))
    else:
        # Without a terminal rich takes 80 columns, which would fold the table.
        print_report(Console(width=None if sys.stdout.isatty() else WIDTH), report, rows)
        if target:
            Path(target).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if any(row.status.failed for row in rows):
        sys.exit(1)
