"""The command line's entry point: run one command, and turn every failure into one line and an exit code."""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from ml_intern.commands.argv import HELP, RUN, Request, split
from ml_intern.commands.table import COMMANDS, commands_help
from ml_intern.configs.paths import SERVER_VARIABLE

if TYPE_CHECKING:
    from typer.main import Typer

PROGRAM = "ml-intern"


def main(argv: Sequence[str]) -> int:
    """Run the command line and return the exit code. No exception leaves this function."""
    try:
        return dispatch(split(argv))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last handler: report() classifies the error
        from ml_intern.commands.failure import report

        return report(error)


def dispatch(request: Request) -> int:
    """Call the command, or print its help or the version."""
    if request.wants == "version":
        from ml_intern.configs.version import version

        print(f"{PROGRAM} {version()}")
        return 0
    if request.wants == "help":
        print(help_text(request.command))
        return 0
    if request.server:
        os.environ[SERVER_VARIABLE] = request.server
    from ml_intern.sandbox.own_process import hide_own_process

    hide_own_process()  # help and the version start no other process
    from typer.main import get_command

    command = get_command(typer_app(request.command))
    # Typer's own main() would turn Ctrl-C into a silent exit code; report() prints a line for it.
    with command.make_context(program_name(request.command), list(request.words)) as context:
        return int(command.invoke(context) or 0)


def program_name(command: str) -> str:
    """Return the command as the user types it."""
    return PROGRAM if command == RUN else f"{PROGRAM} {command}"


def typer_app(command: str) -> "Typer":
    """Build the Typer app of one command. Only that command's module is imported."""
    import typer

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(command, context_settings={"help_option_names": sorted(HELP)})(_load(command))
    return app


def help_text(command: str) -> str:
    """Return the help of a command, a group of commands, or the program.

    Nothing is parsed, because parsing makes Typer import pydantic.
    """
    group = COMMANDS.get(command)
    if group and group.actions and not group.target:
        return commands_help(group)
    from typer.main import get_command

    typer_command = get_command(typer_app(command))
    context = typer_command.context_class(typer_command, info_name=program_name(command))
    text = typer_command.get_help(context)
    if group and group.actions:
        return f"{text}\n\n{commands_help(group)}"
    return f"{text}\n\n{commands_help()}" if command == RUN else text


def _load(command: str) -> Callable[..., int]:
    name, _, action = command.partition(" ")
    target = "running.entry:run" if command == RUN else COMMANDS[name].actions.get(action) or COMMANDS[name].target
    module, _, function = target.partition(":")
    loaded: Callable[..., int] = getattr(import_module(f"ml_intern.commands.{module}"), function)
    return loaded
