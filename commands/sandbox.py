"""`sandbox -- COMMAND`: run a command on this terminal in the sandbox of the agent's commands."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ml_intern.commands.options import SETTINGS_OPTIONS, Options, takes_options
from ml_intern.configs.errors import UsageError
from ml_intern.session.opening.options import load_settings, run_folders, run_sandbox, working_folder

NetworkOption = Annotated[
    str | None, typer.Option("--network", metavar="off|list|on", help="override the network setting")
]
NETWORKS = ("off", "list", "on")


@takes_options(*SETTINGS_OPTIONS, "add_dir")
def sandbox(
    options: Options,
    command: Annotated[
        list[str],
        typer.Argument(metavar="-- COMMAND", help="a program with its arguments, or one shell command in quotes"),
    ],
    network: NetworkOption = None,
) -> int:
    """Run a command in the OS sandbox and return its exit code. A single argument is run by bash."""
    from ml_intern.execution.process.environment import bash_path

    folder = working_folder(options.request())
    if network is not None and network not in NETWORKS:
        raise UsageError(f"--network {network} is not valid", f"use one of {', '.join(NETWORKS)}")
    argv = [bash_path(), "-c", *command] if len(command) == 1 else command
    return _run(replace(options, sandbox=True), folder, argv, network)


def _run(options: Options, folder: Path, argv: list[str], network: str | None) -> int:
    from ml_intern.execution.process.environment import child_environment, uv_links
    from ml_intern.execution.sandboxed import own_homes, run_profile
    from ml_intern.sandbox.wrap import wrap
    from ml_intern.session.opening.options import from_settings
    from ml_intern.text.visible import visible

    loaded, folders = load_settings(options.request(), folder), run_folders(options.request())
    settings = loaded.settings.sandbox.model_copy(update={"network": network} if network else {})
    loaded = replace(loaded, settings=loaded.settings.model_copy(update={"sandbox": settings}))
    os_sandbox = run_sandbox(options.request(), loaded, [str(folder), *folders])
    run = os_sandbox.applied_to(replace(from_settings(loaded.settings, folder), add_dirs=folders))
    profile = run_profile(run, child_environment(os.environ, uv_links(), sandboxed=True), own_homes())
    wrapped = wrap(argv, profile)
    try:
        with wrapped:
            return _ended(wrapped.start(cwd=folder))
    finally:
        for part in wrapped.removed:
            print(f"ml-intern: removed {visible(part)}: git would have run it", file=sys.stderr)


def _ended(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the command and forward signals to it, because it has no controlling terminal. Return its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: process.send_signal(number))
    code = process.wait()
    return code if code >= 0 else 128 - code
