"""The evidence of a thread: the programs that ran, what the agent typed, and the files it left."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ml_intern.evidence.code.extract import read_source, scripts_of
from ml_intern.evidence.numbers.columns import read_columns
from ml_intern.evidence.programs import programs_of, programs_run
from ml_intern.execution.call import ToolResult
from ml_intern.execution.recording.call_evidence import RUN_EVIDENCE, is_command, shown_text
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.events import OWN_CALL
from ml_intern.safety.shell.invocations import Invocation
from ml_intern.store.evidence.table import EvidenceRow
from ml_intern.store.runs import RunRow

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

_WRITERS: Final = frozenset({"write", "edit"})
_COMMANDS: Final = ("bash", "notebook")
_REPEATING: Final = frozenset({"write", "edit", "notebook", "plan", "bash", "jobs", "experiments", "verify", "notify"})
"""Tools whose results repeat what the agent wrote or what a recorded program printed."""
_MAX_LOG: Final = 400_000
_MAX_SCRIPTS: Final = 20


@dataclass(frozen=True)
class Execution:
    """A command or a background run. `state` is done, failed, timeout, cancelled, lost, interrupted or running."""

    name: str
    command: str
    text: str
    state: str = "done"
    reason: str = ""
    began: float = 0.0
    seconds: float = 0.0
    opened: frozenset[str] = frozenset()
    written: Mapping[str, str] = field(default_factory=dict[str, str])
    missed: str = ""
    """Why the lists of files may be incomplete, or ""."""
    programs: tuple[Invocation, ...] = ()
    """The programs it ran, without the tools that only pass text on."""
    started: tuple[str, ...] | None = None
    """The paths of the programs that the kernel reported, or None if they were not recorded."""
    hints: tuple[str, ...] = ()
    """The reports of its Python processes about themselves. They never support a claim."""
    folder: Path = Path()
    remote: bool = False
    hardware: str = ""

    @property
    def ran(self) -> bool:
        """Whether a program ran that can measure something."""
        return bool(self.programs)


@dataclass(frozen=True)
class Typed:
    """Text that the agent wrote: the content of a file, or a command."""

    when: float
    text: str
    path: str = ""


@dataclass(frozen=True)
class Observations:
    """Everything that the checks of an answer read."""

    workspace: Path
    roots: tuple[Path, ...]
    user_text: str
    executions: tuple[Execution, ...] = ()
    typed: tuple[Typed, ...] = ()
    reports: tuple[tuple[str, str], ...] = ()
    """Name and text of the results of other tools, such as a file of the user's that was read."""
    calls: tuple[Mapping[str, Any], ...] = ()
    """All recorded calls."""
    locks: tuple[EvidenceRow, ...] = ()
    level: str = "quick"
    readings: Path | None = None
    """The folder with what was read in outputs before, see evidence/numbers/columns.py."""

    @cached_property
    def written(self) -> dict[str, str]:
        """Return the paths that this thread wrote, each with the name of what wrote it last; the agent is ""."""
        last = [(one.when, one.path, "") for one in self.typed if one.path]
        for run in self.executions:
            last += [(run.began + run.seconds, path, run.name if run.ran else "") for path in run.written]
        return {path: name for _, path, name in sorted(last)}

    @cached_property
    def programs(self) -> tuple[Execution, ...]:
        """Return the executions in which a program ran."""
        return tuple(one for one in self.executions if one.ran)

    def find(self, name: str) -> Path | None:
        """Return the existing file or folder that a name in an answer means, or None."""
        name = name.strip().removeprefix("./")
        places = [Path(name)] if name.startswith("/") else [root / name for root in self.roots]
        for place in places:
            if place.exists():
                return place
        return next((Path(path) for path in self.written if path.endswith(f"/{name}") and Path(path).exists()), None)

    def sources(self, run: Execution) -> list[tuple[str, str]]:
        """Return path and text of the Python code that an execution ran, as far as it is known."""
        key = (run.name, run.began)
        if key not in self._sources:
            self._sources[key] = self._read_sources(run)
        return self._sources[key]

    @cached_property
    def _sources(self) -> dict[tuple[str, float], list[tuple[str, str]]]:
        """Return what `sources` read before: ten checks ask for the code of the same executions."""
        return {}

    def _read_sources(self, run: Execution) -> list[tuple[str, str]]:
        found = [("-c", one.code) for one in run.programs if one.code and one.name.startswith("python")]
        named = [path for one in run.programs for path in scripts_of(one, run.folder)]
        opened = [path for path in run.opened if path.endswith(".py")]
        for path in list(dict.fromkeys([*named, *opened]))[:_MAX_SCRIPTS]:
            if text := self._script(path, run.began):
                found.append((self.short(path), text))
        return found

    def removed_sources(self, run: Execution) -> list[str]:
        """Return the Python files that an execution opened, that are gone and that the agent did not write."""
        gone = [path for path in run.opened if path.endswith(".py") and not Path(path).exists()]
        return [self.short(path) for path in sorted(gone) if not self._script(path, run.began)][:_MAX_SCRIPTS]

    def _script(self, path: str, when: float) -> str:
        """Return the text of a script when it ran: what the agent had written, else what the file contains now."""
        typed = self._typed_at.get(path, [])
        whole = [one for one in typed if one.when <= when]
        if whole and len(whole) == len(typed):
            return read_source(Path(path)) or whole[-1].text
        return whole[-1].text if whole else read_source(Path(path)) or ""

    @cached_property
    def _typed_at(self) -> dict[str, list[Typed]]:
        """Return what the agent wrote to each path, in order."""
        found: dict[str, list[Typed]] = {}
        for one in self.typed:
            found.setdefault(one.path, []).append(one)
        return found

    def absolute(self, path: str) -> str:
        """Return the path that `short` shortened; -c stays as it is."""
        return path if path == "-c" else str(Path(self.workspace, path))

    def short(self, path: str | Path) -> str:
        """Return a path relative to the workspace, if it is inside."""
        return str(path).removeprefix(f"{self.workspace}/")


def content_of(path: Path, limit: int = 2_000_000) -> str:
    """Return the text of a file, or "" if it cannot be read or is larger than the limit."""
    try:
        if path.is_file() and path.stat().st_size <= limit:
            return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return ""


async def observe(context: ToolContext) -> Observations:
    """Gather the evidence of a thread. A command that the user ran and that failed says nothing about the work."""
    store, thread = context.store, context.thread_id
    rows = await store.evidence.list(thread, "call")
    runs = await store.runs.list(thread)
    locks = await store.evidence.list(thread, "lock")
    bodies = _in_order(dict(row.body) for row in rows if row.body["ok"] or not row.ref.startswith(OWN_CALL))
    workspace = context.workspace.resolve()
    bodies += _unrecorded(context.messages, {row.ref for row in rows})
    executions = [_of_call(body, place, workspace) for place, body in enumerate(bodies) if body["tool"] in _COMMANDS]
    executions += [_of_run(row, context) for row in runs]
    return Observations(
        workspace=workspace,
        roots=context.roots(),
        user_text=context.user_text,
        executions=tuple(sorted(filter(None, executions), key=lambda one: one.began)),
        typed=tuple(_typed(bodies, workspace)),
        reports=tuple(_reports(context.messages)),
        calls=tuple(bodies),
        locks=tuple(locks),
        level=context.options.verify,
        readings=readings_folder(context),
    )


def readings_folder(context: ToolContext) -> Path:
    """Return the folder with what was read in the outputs of a thread."""
    return context.services.artifacts(context.thread_id) / "numbers"


def _in_order(bodies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return recorded calls with times that never decrease, whatever the clock did meanwhile."""
    found: list[dict[str, Any]] = []
    for body in bodies:
        latest = found[-1]["began"] if found else body["began"]
        found.append({**body, "began": max(body["began"], latest)})
    return found


def _unrecorded(messages: "Sequence[AnyMessage]", known: set[str]) -> list[dict[str, Any]]:
    """Return the calls of the conversation without evidence, such as those before a fork. Their files are unknown."""
    results = {one.tool_call_id: one for one in messages if one.type == "tool"}
    found = []
    for message in messages:
        for place, call in enumerate(getattr(message, "tool_calls", ())):
            result = results.get(call["id"])
            if f"{message.id}/{place}" not in known and result is not None and call["name"] in (*_WRITERS, *_COMMANDS):
                found.append(
                    {
                        "tool": call["name"], "args": json.dumps(call["args"], ensure_ascii=False), "text": result.text,
                        "ok": result.status != "error", "status": "done" if result.status != "error" else "failed",
                        "began": 0.0, "seconds": 0.0, "opened": [], "written": {}, "missed": "it was not recorded",
                    }
                )  # fmt: skip
    return found


def _of_call(body: Mapping[str, Any], place: int, workspace: Path) -> Execution | None:
    try:
        args = json.loads(body["args"])
    except ValueError:
        return None
    if args.get("background"):
        return None
    if not is_command(body["tool"], args):
        return None
    is_notebook = body["tool"] == "notebook"
    command = shlex.join(["jupyter", "execute", str(args["path"])]) if is_notebook else str(args.get("command", ""))
    folder = (workspace / str(args["workdir"])).resolve() if args.get("workdir") else workspace
    return Execution(
        name=f"command {place + 1}",
        command=command,
        text=body["text"],
        state=body["status"],
        reason="" if body["ok"] else _last_line(body["text"]),
        began=body["began"],
        seconds=body["seconds"],
        opened=frozenset(body["opened"]),
        written=body["written"],
        missed=body["missed"],
        started=_paths(body),
        hints=tuple(body.get("hints", ())),
        programs=programs_run(command, folder, None if is_notebook else body.get("started")),
        folder=folder,
    )


def _of_run(row: RunRow, context: ToolContext) -> Execution:
    log = Path(row.log) if row.log else None
    seen = _run_evidence(log.parent) if log else {}
    states = {"succeeded": "done", "queued": "running"}
    folder = context.workspace.resolve()
    return Execution(
        name=row.id,
        command=row.command,
        text=_ends(log) if log else row.tail,
        state=states.get(row.state, row.state),
        reason=row.reason or (f"exit code {row.exit_code}" if row.exit_code else ""),
        began=row.started or row.created,
        seconds=max(0.0, (row.finished or row.created) - (row.started or row.created)),
        opened=frozenset(seen.get("opened", ())),
        written=seen.get("written", {}),
        missed=seen.get("missed", "the run left no record of its files"),
        started=_paths(seen),
        hints=tuple(seen.get("hints", ())),
        programs=programs_run(row.command, folder, seen.get("started")) or _script_program(row, folder),
        folder=folder,
        remote=row.backend != "local",
        hardware=row.hardware or "",
    )


def _paths(body: Mapping[str, Any]) -> tuple[str, ...] | None:
    started = body.get("started")
    return None if started is None else tuple(dict.fromkeys(one["path"] for one in started))


def _script_program(row: RunRow, folder: Path) -> tuple[Invocation, ...]:
    """Return the script of a run whose command could not be parsed."""
    return programs_of(f"python3 {row.command}", folder) if row.command.strip() else ()


def _run_evidence(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / RUN_EVIDENCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _ends(log: Path) -> str:
    """Return the beginning and the end of a log."""
    try:
        with log.open("rb") as file:
            start = file.read(_MAX_LOG // 2)
            file.seek(max(file.tell(), log.stat().st_size - _MAX_LOG // 2))
            return (start + file.read(_MAX_LOG // 2)).decode(errors="replace")
    except OSError:
        return ""


def prepare(command: str, result: ToolResult, context: ToolContext) -> None:
    """Read the numbers that a command printed, and parse it, so that the check of the answer finds both done."""
    if programs_of(command, context.workspace.resolve()):
        read_columns(shown_text(result), readings_folder(context))


def _last_line(text: str) -> str:
    lines = [line.strip("[] ") for line in text.strip().splitlines()]
    return lines[-1][:200] if lines else ""


def _typed(bodies: Iterable[Mapping[str, Any]], workspace: Path) -> Iterator[Typed]:
    """Yield what the agent wrote. For an edit it is the new text, which replaces a part of the file."""
    for body in bodies:
        try:
            args = json.loads(body["args"])
        except ValueError:
            yield Typed(body["began"], body["args"])
            continue
        if body["tool"] in _WRITERS:
            path = str((workspace / str(args.get("path", ""))).resolve()) if body["ok"] else ""
            content = "\n".join(str(value) for name, value in args.items() if name != "path")
            yield Typed(body["began"], str(args.get("content", content)), path)
        else:
            yield Typed(body["began"], re.sub(r"\\n", "\n", body["args"]))


def _reports(messages: "Sequence[AnyMessage]") -> Iterator[tuple[str, str]]:
    calls = {call["id"]: call for message in messages for call in getattr(message, "tool_calls", ())}
    for message in messages:
        if message.type == "tool":
            call = calls.get(message.tool_call_id, {"name": message.name or "", "args": {}})
            if call["name"] not in _REPEATING:
                yield f"{call['name']} {call['args'].get('path', '')}".strip(), message.text
