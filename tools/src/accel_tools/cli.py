"""The ``accel`` command. A subcommand's module is imported when it is invoked, not before."""

from __future__ import annotations

import importlib

import click

__all__ = ["main"]

#: Subcommand: module, attribute, and the line that ``accel --help`` shows without importing it.
COMMANDS = {
    "bench": ("accel_tools.bench.cli", "bench", "Measure memcpy and KV transfer of a backend."),
    "build-kernels": (
        "accel_tools.kernel_building",
        "build_kernels",
        "Compile the kernels of backends ahead of time.",
    ),
    "doctor": ("accel_tools.doctor", "doctor", "Say what is installed, what is wrong, the cure."),
    "list": ("accel_tools.listing", "list_backends", "List the installed backends."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported at first use: ``accel doctor`` must never import what
    ``accel bench`` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            text = f"`accel {cmd_name}` cannot be loaded: {error}. Cure: `accel doctor`"
            raise click.ClickException(text) from error
        if not isinstance(command, click.Command):
            raise click.ClickException(f"{module}:{attribute} is no command but {command!r}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in sorted(COMMANDS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="accel-tools", prog_name="accel")
def main() -> None:
    """Backends for moving LLM state on any accelerator."""
