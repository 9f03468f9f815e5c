"""The bash tool: one command in the workspace, its output and its exit code."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from ml_intern.execution.call import Status, ToolError, ToolResult
from ml_intern.execution.file_sources import sources_of_files
from ml_intern.execution.opened_files import MAX_PATHS, opened_paths, private_reads
from ml_intern.execution.output import shorten_file
from ml_intern.execution.process.command import Finished, ProcessCommand, run_command
from ml_intern.execution.process.environment import bash_path
from ml_intern.execution.provenance import source_note
from ml_intern.execution.sandboxed import MAX_HOSTS, SandboxedCommand, locked_paths, open_sandbox
from ml_intern.execution.tool import ExternalEffects, OnResume, ToolArgs, ToolContext, tool
from ml_intern.graph.limits import TOOL_TIMEOUT_S
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.launch import start_run
from ml_intern.runs.plan import planned
from ml_intern.runs.summary import started_text
from ml_intern.safety.files.disk import matching_files, resolve
from ml_intern.safety.files.removed import removed_paths
from ml_intern.safety.shell.analysis import analyze_command
from ml_intern.safety.shell.credentials import named_paths
from ml_intern.safety.shell.invocations import ParsedCommand
from ml_intern.safety.shell.outward import inward_sources
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.text.formatting import listed, plural
from ml_intern.tools.local.external_files import external_source

DEFAULT_SECONDS = int(TOOL_TIMEOUT_S)
MAX_SECONDS = 10 * 3600
MAX_SECRETS = 8
_SIGNALS = {number.value: number.name for number in signal.Signals}


class BashArgs(ToolArgs):
    """The arguments of bash."""

    command: str = Field(min_length=1, description="The command, in bash syntax.")
    timeout: int | None = Field(
        None,
        ge=1,
        le=MAX_SECONDS,
        description=f"Seconds before it is stopped: default {DEFAULT_SECONDS}; in the background {MAX_SECONDS}.",
    )
    background: bool = Field(
        default=False,
        description="Return at once and let it run; watch it with the tool jobs. You are notified when it ends.",
    )
    workdir: str = Field(".", description="Folder to run in, inside the workspace.")
    secrets: list[str] = Field(
        default_factory=list,
        max_length=MAX_SECRETS,
        description="Secret variables of the user's that it needs, such as HF_TOKEN for a gated model. It gets no "
        "others; the user is asked.",
    )

    @property
    def seconds(self) -> float:
        """The time limit."""
        return float(self.timeout or (MAX_SECONDS if self.background else DEFAULT_SECONDS))


async def bash_effects(args: Mapping[str, Any], _context: ToolContext) -> ExternalEffects:
    """Return the secrets a command asks for. What it sends is found by analysing the command."""
    return ExternalEffects(secrets=tuple(args.get("secrets", ())))


def bash_on_resume(args: Mapping[str, Any]) -> OnResume:
    """Choose "reattach" for a background run; for other commands the outcome is unknown."""
    return "reattach" if args.get("background") else "report"


@tool(timeout=None, path_args=("workdir",), effects=bash_effects, on_resume=bash_on_resume)
async def bash(args: BashArgs, context: ToolContext) -> ToolResult:
    """Run a bash command in the workspace and return its output (stdout and stderr combined) and exit code.

    Each call is a new shell: `cd` and variables do not carry over. There is no terminal and stdin is empty, so pass
    --yes or similar options to programs that would prompt. Long output is shortened to its beginning and end; the full
    output is saved to a file named in the result, which read can show. Processes still running when the command ends
    are terminated. Start training and other long work with background, or set a sufficient timeout. Prefer read, write
    and edit for files. `uv` is available.
    """
    if args.background:
        return started_text(await start_run(await _plan(args, context), context, only_scripts=True))
    problem = "the command could not run"
    try:
        found = await asyncio.to_thread(_inspected, args, context)
        read = await sources_of_files(context.store, found.opened)
        context = replace(context, file_reads={**context.file_reads, **found.private})
        async with open_sandbox(found.argv, found.folder, context, tuple(args.secrets), found.removes) as prepared:
            command = _command(args, found.folder, prepared, context)
            problem = "the command may have run in part"
            finished = await run_command(
                command, lambda text: context.emit("tool_log", id=context.call_id, name="bash", text=text)
            )
            connections = prepared.connections
    except (OSError, ValueError) as error:
        raise ToolError(f"{problem}: {error}") from error
    notes = [*connections.notes, *_removal_note(prepared.removed), *_restored_note(prepared.restored, context)]
    inspected = (found.parsed, read)
    result = await asyncio.to_thread(_result, inspected, command, context, finished, connections.reached, notes)
    return replace(await _with_lock_note(result, context), file_reads=found.private)


async def _with_lock_note(result: ToolResult, context: ToolContext) -> ToolResult:
    """Return the result with a line about the locked files that the command could not write."""
    if "Read-only file system" not in result.text:
        return result
    locked = [context.name_of(Path(path)) for path in await locked_paths(context)]
    named = [name for name in locked if Path(name).name in result.text]
    note = f"\n[{listed(named, MAX_HOSTS)}: the user locked it, so commands cannot write it; ask the user to change it]"
    return replace(result, text=result.text + note) if named else result


async def _plan(args: BashArgs, context: ToolContext) -> RunPlan:
    return await planned(
        context,
        backend="local",
        command=args.command,
        workdir=args.workdir,
        secrets=tuple(args.secrets),
        limit_s=args.seconds,
    )


def _command(args: BashArgs, folder: Path, prepared: SandboxedCommand, context: ToolContext) -> ProcessCommand:
    return ProcessCommand(
        argv=prepared.argv,
        folder=folder,
        environment=prepared.environment,
        output=context.artifact_path(),
        mark=context.mark,
        timeout=args.seconds,
        wrapped=prepared.wrapped,
    )


@dataclass(frozen=True)
class _Inspection:
    """The findings about a command before it runs."""

    argv: tuple[str, ...]
    folder: Path
    """The folder to run in."""
    parsed: ParsedCommand | None
    removes: tuple[str, ...]
    """The folders that it removes or moves."""
    opened: Sequence[Path]
    """The files and folders that it may read."""
    private: Mapping[str, str]
    """Path -> digest of the private ones among them."""


def _inspected(args: BashArgs, context: ToolContext) -> _Inspection:
    """Inspect a command in one step, since each switch to a thread costs more than the inspection."""
    folder = context.resolve(args.workdir)
    if not folder.is_dir():
        raise ToolError(f"there is no folder {args.workdir}; leave workdir out to run in the workspace")
    place = CommandContext(str(context.roots()[0]), home=str(Path.home()), cwd=str(folder), match=matching_files)
    parsed = analyze_command(args.command, place).parsed
    opened = opened_paths(parsed, folder)
    argv, private = (bash_path(), "-c", args.command), private_reads(opened, context)
    return _Inspection(argv, folder, parsed, _removed_folders(parsed, context), opened, private)


def _result(
    inspected: tuple[ParsedCommand | None, tuple[str, ...]],
    command: ProcessCommand,
    context: ToolContext,
    finished: Finished,
    reached: tuple[str, ...],
    notes: list[str],
) -> ToolResult:
    """Return the result with its sources: the connections the sandbox saw, else what the command's words show.

    `inspected` is the parsed command and the sources of the files it names.
    """
    parsed, read = inspected
    sources = tuple(dict.fromkeys((*(reached or _sources(parsed, context)), *read)))
    return replace(finished_result(finished, command, [*notes, *source_note(sources)]), taint=sources)


def _removed_folders(parsed: ParsedCommand | None, context: ToolContext) -> tuple[str, ...]:
    """Return the existing folders, below the writable ones, that a command names to remove or to move."""
    named = removed_paths(parsed) if parsed and context.options.sandbox != "none" else ()
    inside = (path for path in named if not any(root.is_relative_to(path) for root in context.roots()))
    return tuple(path for path in inside if Path(path).is_dir())


def _sources(parsed: ParsedCommand | None, context: ToolContext) -> tuple[str, ...]:
    """Return the sources of a command's output, as far as its words show them."""
    roots = context.roots()
    if parsed is None:
        return ()
    # A sandbox with a host list sees every connection, and one without network has none.
    fetched = inward_sources(parsed) if context.options.sandbox in {"none", "on"} else ()
    named = (Path(resolve(path)) for path in named_paths(parsed)[:MAX_PATHS])
    return (*fetched, *dict.fromkeys(filter(None, (external_source(path, roots) for path in named))))


def finished_result(finished: Finished, command: ProcessCommand, notes: list[str]) -> ToolResult:
    """Return the model's view of a finished command. The output file is removed when all of it is shown."""
    shown, shortened = shorten_file(command.output, finished.characters)
    if not shortened:
        command.output.unlink(missing_ok=True)
    closing = [*_closing(finished, command.timeout), *notes]
    lines = [shown.removesuffix("\n") or "(no output)", f"[{'; '.join(closing)}]"]
    status = _status(finished)
    artifact = str(command.output) if shortened else None
    return ToolResult("\n".join(lines), status == "done", status, artifact=artifact)


def _status(finished: Finished) -> Status:
    if finished.ending == "timeout":
        return "timeout"
    return "done" if finished.ending == "exited" and finished.exit_code == 0 else "failed"


def _closing(finished: Finished, seconds: float) -> list[str]:
    if finished.ending == "timeout":
        return [
            f"timed out after {seconds:g} s; all its processes were terminated; the maximum timeout is {MAX_SECONDS} s"
        ]
    if finished.ending == "output cap":
        return ["stopped: it wrote too much output; all its processes were terminated; redirect output to a file"]
    count = finished.ended_processes
    ended = f"{plural(count, 'background process')} terminated when it ended"
    return [_exit(finished.exit_code), *([ended] if count else [])]


def _removal_note(removed: tuple[str, ...]) -> list[str]:
    return [f"removed, because git would run it: {listed(removed, MAX_HOSTS)}"] if removed else []


def _restored_note(restored: tuple[str, ...], context: ToolContext) -> list[str]:
    names = [context.name_of(Path(path)) for path in restored]
    return [f"restored, because the user locked it: {listed(names, MAX_HOSTS)}"] if names else []


def _exit(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    return f"killed by {_SIGNALS.get(-code, f'signal {-code}')}"
