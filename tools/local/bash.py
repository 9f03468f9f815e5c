"""The bash tool: one command in the workspace, its output and its exit code."""

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from ml_intern.execution.call import Status, ToolError, ToolResult
from ml_intern.execution.output import shorten_file
from ml_intern.execution.process.command import Command, Finished, run_command
from ml_intern.execution.process.environment import shell
from ml_intern.execution.provenance import said_of_sources
from ml_intern.execution.sandboxed import SandboxedCommand, Traffic, sandboxed
from ml_intern.execution.tool import ExternalEffects, OnResume, ToolArgs, ToolContext, tool
from ml_intern.graph.limits import TOOL_TIMEOUT_S
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.launch import start_run
from ml_intern.runs.plan import planned
from ml_intern.runs.summary import started_text
from ml_intern.safety.shell.analysis import examine
from ml_intern.safety.shell.credentials import command_paths
from ml_intern.safety.shell.outward import inward_sources
from ml_intern.safety.shell.paths import Place
from ml_intern.tools.local.foreign import foreign_source

DEFAULT_SECONDS = int(TOOL_TIMEOUT_S)
MAX_SECONDS = 10 * 3600
MAX_HOSTS = 5
MAX_PATHS = 50
MAX_SECRETS = 8
_SIGNALS = {number.value: number.name for number in signal.Signals}


class BashArgs(ToolArgs):
    """What bash takes."""

    command: str = Field(min_length=1, description="The command, as bash understands it.")
    timeout: int | None = Field(
        None,
        ge=1,
        le=MAX_SECONDS,
        description=f"Seconds after which it is stopped: {DEFAULT_SECONDS}, in the background {MAX_SECONDS} (most).",
    )
    background: bool = Field(
        default=False,
        description="Return at once and let it run on; the tool jobs looks after it. You are told its end.",
    )
    workdir: str = Field(".", description="Folder to run in, inside the workspace.")
    secrets: list[str] = Field(
        default_factory=list,
        max_length=MAX_SECRETS,
        description="Variables of the user's that it needs, as HF_TOKEN for a gated model. It has no other; "
        "the user is asked.",
    )

    @property
    def seconds(self) -> float:
        """Its time limit."""
        return float(self.timeout or (MAX_SECONDS if self.background else DEFAULT_SECONDS))


async def bash_effects(args: Mapping[str, Any], _context: ToolContext) -> ExternalEffects:
    """The secrets that a command asks for. What it sends is found in its words."""
    return ExternalEffects(secrets=tuple(args.get("secrets", ())))


def bash_on_resume(args: Mapping[str, Any]) -> OnResume:
    """A run in the background is found again; of another command nobody knows how far it came."""
    return "reattach" if args.get("background") else "report"


@tool(timeout=None, path_args=("workdir",), effects=bash_effects, on_resume=bash_on_resume)
async def bash(args: BashArgs, context: ToolContext) -> ToolResult:
    """Run a command with bash in the workspace and return its output, stdout and stderr together, and its exit code.

    Each call is a new shell: `cd` and variables do not carry over. There is no terminal and stdin is empty, so pass
    --yes and the like where a program would ask. Long output is shortened to its beginning and end; the whole is kept
    in a file that the result names and read can show. Processes still running when the command ends are ended with it.
    Start training and other long work with background, or give it a timeout that fits. Prefer read, write and edit for
    files. `uv` is there.
    """
    if args.background:
        return started_text(await start_run(await _plan(args, context), context, only_scripts=True))
    try:
        folder, program = await asyncio.to_thread(_place, args.workdir, context)
        async with sandboxed((program, "-c", args.command), folder, context, tuple(args.secrets)) as wall:
            command = _command(args, folder, wall, context)
            finished = await run_command(
                command, lambda text: context.emit("tool_log", id=context.call_id, name="bash", text=text)
            )
            traffic = wall.traffic
    except (OSError, ValueError) as error:
        raise ToolError(f"the command could not run: {error}") from error
    remarks = [*_said_of(traffic), *_said_of_mending(wall.mended)]
    return await asyncio.to_thread(_told, args, command, context, finished, traffic.reached, remarks)


async def _plan(args: BashArgs, context: ToolContext) -> RunPlan:
    return await planned(
        context,
        backend="local",
        command=args.command,
        workdir=args.workdir,
        secrets=tuple(args.secrets),
        limit_s=args.seconds,
    )


def _command(args: BashArgs, folder: Path, wall: SandboxedCommand, context: ToolContext) -> Command:
    return Command(
        argv=wall.argv,
        folder=folder,
        environment=wall.environment,
        output=context.artifact_path(),
        mark=context.mark,
        timeout=args.seconds,
        wrapped=wall.wrapped,
    )


def _place(workdir: str, context: ToolContext) -> tuple[Path, str]:
    """The folder to run in, and the bash to run with."""
    folder = context.resolve(workdir)
    if not folder.is_dir():
        raise ToolError(f"there is no folder {workdir}; leave workdir out to run in the workspace")
    return folder, shell()


def _told(
    args: BashArgs,
    command: Command,
    context: ToolContext,
    finished: Finished,
    reached: tuple[str, ...],
    remarks: list[str],
) -> ToolResult:
    """The result, with where its text comes from: what the sandbox saw, else what the words of the command show."""
    sources = reached or _sources(args.command, command.folder, context)
    return replace(result_of(finished, command, [*remarks, *said_of_sources(sources)]), taint=sources)


def _sources(command: str, folder: Path, context: ToolContext) -> tuple[str, ...]:
    """Where its output may come from, as far as its words show it."""
    roots = context.roots()
    scene = examine(command, Place(str(roots[0]), home=str(Path.home()), cwd=str(folder))).scene
    if scene is None:
        return ()
    # A sandbox with a list of hosts saw every connection, and one without a network had none.
    fetched = inward_sources(scene) if context.options.sandbox in {"none", "on"} else ()
    named = (Path(os.path.realpath(path)) for path in command_paths(scene)[:MAX_PATHS])
    return (*fetched, *dict.fromkeys(filter(None, (foreign_source(path, roots) for path in named))))


def result_of(finished: Finished, command: Command, remarks: list[str]) -> ToolResult:
    """What the model is told of a command that ended. Its output file is removed when all of it is told."""
    shown, shortened = shorten_file(command.output, finished.characters)
    if not shortened:
        command.output.unlink(missing_ok=True)
    closing = [*_closing(finished, command.timeout), *remarks]
    lines = [shown.removesuffix("\n") or "(no output)", f"[{'; '.join(closing)}]"]
    status = _status(finished)
    kept = str(command.output) if shortened else None
    return ToolResult("\n".join(lines), status == "done", status, artifact=kept)


def _status(finished: Finished) -> Status:
    if finished.ending == "timeout":
        return "timeout"
    return "done" if finished.ending == "exited" and finished.exit_code == 0 else "failed"


def _closing(finished: Finished, seconds: float) -> list[str]:
    if finished.ending == "timeout":
        return [
            f"timed out after {seconds:g} s; all its processes were ended; a longer timeout is up to {MAX_SECONDS} s"
        ]
    if finished.ending == "output cap":
        return ["stopped: it wrote more output than may be kept; all its processes were ended; send output to a file"]
    left = finished.ended_processes
    return [_exit(finished.exit_code), *([f"{left} background process(es) it left were ended"] if left else [])]


def _said_of(traffic: Traffic) -> list[str]:
    if traffic.problem:
        return [f"the sandbox had no network: {traffic.problem}"]
    if not traffic.refused:
        return []
    more = f" and {len(traffic.refused) - MAX_HOSTS} more" if len(traffic.refused) > MAX_HOSTS else ""
    return [
        f"the sandbox let nothing through to {', '.join(traffic.refused[:MAX_HOSTS])}{more}: ask the user to allow it "
        "(settings, sandbox.hosts) if the task needs it"
    ]


def _said_of_mending(mended: list[str]) -> list[str]:
    more = f" and {len(mended) - MAX_HOSTS} more" if len(mended) > MAX_HOSTS else ""
    return [f"removed, because git would run it: {', '.join(mended[:MAX_HOSTS])}{more}"] if mended else []


def _exit(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    return f"killed by {_SIGNALS.get(-code, f'signal {-code}')}"
