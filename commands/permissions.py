"""`permissions list`, `test`, `remove`: the rules in effect here, their verdict on a command, "always" answers."""

import asyncio
import shlex
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.options import SETTINGS_OPTIONS, Options, takes_options
from ml_intern.commands.output import Json, print_json, print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.session.opening.options import load_settings, run_folders, run_sandbox, working_folder
from ml_intern.session.opening.store import open_store
from ml_intern.terminal.slash.permissions import answer_line, rule_lines

if TYPE_CHECKING:
    from ml_intern.safety.policy import Verdict
    from ml_intern.store.permissions import PermissionRow

Everywhere = Annotated[bool, typer.Option("--all", help="include the answers of all folders")]
NO_THREAD = "(none)"


@takes_options(*SETTINGS_OPTIONS)
def list_rules(options: Options, everywhere: Everywhere = False, json: Json = False) -> int:
    """List the permission rules of the settings and the answers saved for this folder."""
    from ml_intern.session.approvals import permission_info

    folder = working_folder(options.request())
    permissions = load_settings(options.request(), folder).settings.permissions.model_dump(mode="json")
    answers = asyncio.run(_answers(None if everywhere else str(folder)))
    info = permission_info(permissions, answers)
    if json:
        return print_json({"rules": permissions, "warnings": list(info.warnings), "answers": list(map(_row, answers))})
    lines = [*rule_lines(info), *map(answer_line, answers)]
    return print_lines(lines or ["no rules: reads are allowed, the approval mode decides on everything else"])


async def _answers(folder: str | None) -> "list[PermissionRow]":
    async with open_store() as store:
        return list(await store.permissions.list(folder))


def _row(row: "PermissionRow") -> dict[str, Any]:
    return {**asdict(row), "grant": row.grant.as_json()}


@takes_options(*SETTINGS_OPTIONS, "approval_mode", "sandbox", "add_dir")
def judge(
    options: Options,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="the shell command")],
    json: Json = False,
) -> int:
    """Show whether a shell command would be allowed, asked about or denied here, and why. Nothing is run."""
    text = command[0] if len(command) == 1 else shlex.join(command)
    verdict = asyncio.run(_verdict(options, text))
    if json:
        return print_json({"verdict": verdict.kind, "why": verdict.why})
    return print_lines([f"{verdict.kind}: {verdict.why}"])


async def _verdict(options: Options, command: str) -> "Verdict":
    from ml_intern.execution.calls import judge_command
    from ml_intern.execution.tool import Services
    from ml_intern.models.gateway import Models
    from ml_intern.session.opening.options import from_settings
    from ml_intern.tools.registry import create_builtin_tools

    folder = working_folder(options.request())
    loaded, folders = load_settings(options.request(), folder), run_folders(options.request())
    run = from_settings(loaded.settings, folder)
    sandbox = run_sandbox(options.request(), loaded, [str(folder), *folders])
    mode = options.approval_mode or run.approval_mode
    run = sandbox.applied_to(replace(run, approval_mode=mode, add_dirs=folders))
    async with open_store() as store:
        services = Services(Models(store.ledger), create_builtin_tools(), store, run)
        return await judge_command(command, NO_THREAD, run, services)


def remove(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="the number that `permissions list` shows")],
) -> int:
    """Remove a saved "always" answer."""
    if not asyncio.run(_remove(number)):
        raise UsageError(f"there is no saved answer {number}", "`ml-intern permissions list --all` lists them")
    return print_lines([f"removed answer {number}"])


async def _remove(number: int) -> bool:
    async with open_store() as store:
        return await store.permissions.remove(number)
