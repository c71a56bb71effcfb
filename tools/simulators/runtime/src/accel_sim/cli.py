"""The ``accel-sim`` command."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from . import __version__
from .environment import child_environment, real_stack
from .errors import ModeError, SimulatorError
from .faults import Fault
from .modes import PREFIX, Modes, parse_bytes
from .registry import installed, simulator
from .simulator import Simulator
from .trace import merge_traces, read_traces

__all__ = ["main"]

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Simulators(click.Group):
    """The fixed commands, and a group for each simulator, imported when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *installed()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        fixed = super().get_command(ctx, cmd_name)
        if fixed is not None or cmd_name not in installed():
            return fixed
        return _simulator_group(_loaded(cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, str(self.commands[name].short_help)) for name in sorted(self.commands)]
        rows += [
            (name, "A simulator: run a command on it, or see what it is.") for name in installed()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Simulators, context_settings=_SETTINGS)
@click.version_option(__version__, package_name="accel-sim", prog_name="accel-sim")
def main() -> None:
    """Run programs on simulated accelerators. Nothing measured there is about hardware."""


@main.command("list", short_help="List the installed simulators.")
def list_simulators() -> None:
    """List the installed simulators."""
    for name in installed():
        try:
            found = simulator(name)
            folder = str(found.folder())
        except SimulatorError as error:
            click.echo(f"{name}  unusable: {error}")
            continue
        click.echo(f"{name}  {found.title}, {folder}")
    if not installed():
        click.echo("no simulator is installed. Cure: `pip install accel-sim-cann`", err=True)


@main.command(short_help="Count what ran on the streams of a traced run.")
@click.argument("prefix")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--merge", type=click.Path(path_type=Path), help="Write one trace of all processes.")
def trace(prefix: str, as_json: bool, merge: Path | None) -> None:
    """Count the work of streams and the calls in PREFIX.PID.json, for each process."""
    try:
        found = read_traces(prefix)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if not found:
        raise click.ClickException(
            f"no file {prefix}.PID.json; a run with --trace {prefix} writes them"
        )
    if merge is not None:
        merge_traces(found, merge)
    if as_json:
        both = {str(one.pid): {"work": one.counts(), "calls": one.calls} for one in found}
        click.echo(json.dumps(both, indent=2))
        return
    for one in found:
        work = f"{sum(one.counts().values())} stretches of work on {len(one.streams())} streams"
        click.echo(f"process {one.pid}: {work}, {sum(one.calls.values())} calls (simulated)")
        for name, count in one.counts().most_common():
            total = sum(span.bytes for span in one.named(name))
            click.echo(f"  {count:7}  {name}{f', {total:,} bytes' if total else ''}")
        for name, count in one.calls.most_common():
            click.echo(f"  {count:7}  call of {name}")


def _loaded(name: str) -> Simulator:
    try:
        return simulator(name)
    except SimulatorError as error:
        raise click.ClickException(str(error)) from None


def _simulator_group(found: Simulator) -> click.Group:
    group = click.Group(found.name, help=f"{found.title}.", context_settings=_SETTINGS)
    group.add_command(_run_command(found))
    group.add_command(_info_command(found))
    return group


def _run_command(found: Simulator) -> click.Command:
    @click.pass_context
    def run(
        ctx: click.Context,
        /,
        command: tuple[str, ...],
        quiet: bool,
        beside_real: bool,
        **values: Any,
    ) -> None:
        try:
            modes = _modes(values)
            choices = {c.name: values[f"choice_{c.name}"] for c in found.choices}
            environment = child_environment(found, modes, choices, beside_real=beside_real)
        except ModeError as error:
            raise click.UsageError(str(error), ctx) from None
        except SimulatorError as error:
            raise click.ClickException(str(error)) from None
        if not quiet:
            poses = " ".join(choices.values())
            click.echo(f"accel-sim: simulated, {found.title} {poses}: {modes}", err=True)
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            # In place of this process: signals and the exit status are then the program's own.
            os.execvpe(command[0], list(command), environment)
        except OSError as error:
            click.echo(f"accel-sim: cannot run {command[0]!r}: {error.strerror}", err=True)
            raise SystemExit(127 if isinstance(error, FileNotFoundError) else 126) from None

    run.__doc__ = f"""Run COMMAND with {found.title} in the place of {found.stack}.

    As in: accel-sim {found.name} run --delay-us 500 --strict -- python train.py

    Only the command and what it starts are affected. Its exit status is passed on. A mode that is
    not given is taken from its variable, {PREFIX}SEED and so on.
    """
    parameters: list[click.Parameter] = [*_mode_options()]
    for choice in found.choices:
        parameters.append(
            click.Option(
                [f"--{choice.name.replace('_', '-')}", f"choice_{choice.name}"],
                type=click.Choice(choice.values, case_sensitive=False) if choice.values else str,
                default=choice.default,
                envvar=choice.variable,
                show_default=True,
                help=choice.help,
            )
        )
    parameters += [
        click.Option(
            ["--beside-real"],
            is_flag=True,
            help=f"Run although a real {found.stack} or device is here.",
        ),
        click.Option(["-q", "--quiet"], is_flag=True, help="Do not say the modes on stderr."),
        click.Argument(["command"], nargs=-1, required=True, type=click.UNPROCESSED),
    ]
    return click.Command(
        "run",
        callback=run,
        params=parameters,
        help=run.__doc__,
        short_help="Run a command on the simulator.",
        context_settings={"allow_interspersed_args": False, **_SETTINGS},
    )


def _mode_options() -> list[click.Option]:
    def option(name: str, help_text: str, **more: Any) -> click.Option:
        variable = PREFIX + name.removeprefix("--").replace("-", "_").upper()
        return click.Option([name], envvar=variable, help=help_text, **more)

    return [
        option("--seed", "Of everything random; a fresh one if not given.", type=int, metavar="N"),
        option("--delay-us", "Delay each stream operation, at random, up to N us.", type=int,
               default=0, metavar="N"),
        option("--strict", "Refuse what hardware refuses.", is_flag=True),
        click.Option(
            ["--fault", "faults"], multiple=True, metavar="SPEC",
            help="call=NAME,nth=3,code=507899 makes the third such call fail (with where=stream:"
            " its work); or oom,nth=N; rank_dies,rank=R; copy_stalls,ms=M. Repeatable.",
        ),
        option("--trace", "Write what ran on the streams to PREFIX.PID.json.", metavar="PREFIX"),
        option("--devices", "How many devices there are.", type=int, metavar="N"),
        option("--memory", "Of each device, such as 4GiB.", metavar="BYTES"),
    ]  # fmt: skip


def _modes(values: dict[str, Any]) -> Modes:
    faults = values["faults"]
    if not faults:
        faults = [t for t in os.environ.get(f"{PREFIX}FAULTS", "").split(";") if t.strip()]
    return Modes(
        seed=values["seed"],
        delay_us=values["delay_us"],
        strict=values["strict"],
        faults=tuple(Fault.parse(text) for text in faults),
        trace=values["trace"],
        devices=values["devices"],
        memory=parse_bytes(values["memory"]) if values["memory"] else None,
    ).seeded()


def _info_command(found: Simulator) -> click.Command:
    def info(as_json: bool) -> None:
        facts: dict[str, Any] = {"name": found.name, "title": found.title, "simulated": True}
        try:
            folder = found.folder()
            facts["folder"] = str(folder)
            facts["libraries"] = sorted(path.name for path in folder.glob("*.so*"))
            facts["built"] = True
            facts |= found.info()
        except SimulatorError as error:
            facts |= {"built": False, "problem": str(error)}
        facts["poses_as"] = {c.name: {"default": c.default, "may": c.values} for c in found.choices}
        facts["real_stack_here"] = list(real_stack(found, os.environ))
        facts["more_permissive_than_hardware"] = list(found.permissive)
        if as_json:
            click.echo(json.dumps(facts, indent=2, default=str))
        else:
            _print_facts(facts)
        if not facts["built"]:
            raise SystemExit(1)

    return click.Command(
        "info",
        callback=info,
        params=[click.Option(["--json", "as_json"], is_flag=True, help="Print as JSON.")],
        help="Say what it is, what it simulates, and what it lets pass that hardware does not.",
        short_help="Say what it is and what it is not.",
    )


def _print_facts(facts: dict[str, Any]) -> None:
    for key, value in facts.items():
        label = key.replace("_", " ")
        if isinstance(value, list) and any(" " in str(one) for one in value):
            click.echo(f"{label}:")
            for one in value:
                click.echo(f"  - {one}")
        elif isinstance(value, list):
            click.echo(f"{label}: {', '.join(map(str, value)) or 'none'}")
        elif isinstance(value, dict):
            click.echo(f"{label}:")
            for name, one in value.items():
                text = one
                if isinstance(one, dict) and "may" in one:
                    others = f" (may be {', '.join(one['may'])})" if one["may"] else ""
                    text = f"{one['default']}{others}"
                click.echo(f"  {name}: {text}")
        else:
            click.echo(f"{label}: {value}")
