"""Undo and redo of the conversation, the files or both, with notes about what is not undone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ml_intern.configs.errors import TemporaryError, UsageError
from ml_intern.execution.tool import Services
from ml_intern.graph.operations import Redo, Undo
from ml_intern.runs.poll import refresh
from ml_intern.safety.secrets.redaction import redact
from ml_intern.session.turns.irreversible import Undone, irreversible_effects, undone_calls
from ml_intern.session.turns.turns import Turns, UndoPlan
from ml_intern.snapshots.git import SnapshotError
from ml_intern.snapshots.workspace import FileChange, RestoreRequest, RestoreResult, Snapshots
from ml_intern.text.formatting import listed
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

    from ml_intern.graph.state import AgentState

MAX_NAMED = 5
REMEDY = "undo only the conversation, or try again"
ALL_FILES = "--all-files includes them"
OUTSIDE_UNKNOWN = "the end of a turn was not recorded: files changed since it started count as changed by the turn"
KINDS = {"changed": "reverted", "created": "restored", "removed": "removed"}


@dataclass(frozen=True)
class RewindResult:
    """The result of an undo or a redo: the number of turns, and notes for the user."""

    turns: int
    text: str
    """The user message of the first undone turn, or of the last restored turn."""
    notes: list[str]


@dataclass(frozen=True)
class UndoPreview:
    """The effect of an undo: the turns it removes, and its changes to each file."""

    turns: int
    text: str
    changes: tuple[FileChange, ...]
    kept: tuple[FileChange, ...]
    """The changes to files that were changed outside the turns; only `all_files` makes them."""
    notes: list[str]


@dataclass(frozen=True)
class Rewind:
    """Undo and redo for an idle thread that this process has locked, and for the files of its workspace."""

    turns: Turns
    files: Snapshots
    services: Services

    async def move(self, op: Undo | Redo) -> RewindResult:
        """Undo or redo, and bring the thread's row up to date.

        Raises:
            UsageError: there is no turn to undo or redo, or only files were requested and they cannot be restored.
            TemporaryError: the files could not be saved or restored; the conversation does not change.
        """
        moved = await (self.undo(op) if isinstance(op, Undo) else self.redo(op))
        number = int((await self.turns.snapshot()).values.get("turn", 0))
        await self.services.store.threads.update(self.turns.thread_id, turns=number, state="idle")
        return moved

    async def undo(self, op: Undo) -> RewindResult:
        """Undo the last turns.

        Raises:
            UsageError: there is no turn to undo, or only files were requested and they cannot be restored.
            TemporaryError: the files could not be saved or restored; the conversation does not change.
        """
        await self.turns.close_open("undone by the user")
        plan = await self.turns.plan_undo(op.turns)
        undone = _undone(plan)
        restored, notes = await self._files_back(op, plan, undone)
        stays = await self._stays(undone)
        if op.files == "files":
            await self.turns.add_redo_target(plan.head)
            await self.turns.append_note(_files_note(plan, restored))
            return RewindResult(0, "", [redact(visible(note)) for note in (*notes, *stays)])
        await self.turns.undo(plan)
        return RewindResult(plan.turns, plan.text, [redact(visible(note)) for note in (*notes, *stays)])

    async def redo(self, op: Redo) -> RewindResult:
        """Restore the turns of the last undo. Raises the same errors as `undo`."""
        target = await self.turns.redo_target()
        head = await self.turns.snapshot()
        notes: list[str] = []
        name = self.files.name_of(f"undo-{_id(target)}")
        if op.files != "conversation" and await self.files.has_snapshot(name):
            after = head if op.files == "files" else target
            turn = _turn_files(head) if _turn_files(head) == _turn_files(after) else ""
            request = self._request([name], all_files=op.all_files, before=f"redo-{_id(head)}", turn=turn)
            restored = await _or_error(self.files.restore(request))
            notes = [redact(visible(note)) for note in _notes(restored, "before the undo")]
        elif op.files == "files":
            raise UsageError("there are no files to redo", "the last undo did not change files")
        if op.files == "files":
            return RewindResult(0, "", notes)
        again = int(target.values.get("turn", 0)) - int(head.values.get("turn", 0))
        return RewindResult(again, await self.turns.redo(target), notes)

    async def preview(self, op: Undo) -> UndoPreview:
        """Return the effect of an undo without performing it. Raises the same errors as `undo`."""
        plan = await self.turns.plan_undo(op.turns)
        undone = _undone(plan)
        changes: tuple[FileChange, ...] = ()
        kept: tuple[FileChange, ...] = ()
        notes: list[str] = []
        if self._wants_files(op, undone):
            if why := await self.files.restore_problem(plan.files):
                notes = [f"the files stay as they are: {why}"]
            else:
                found = await _or_error(self.files.preview(self._request(plan.files, all_files=op.all_files)))
                changes, kept, notes = found.changes, found.kept, _stays(found)
        notes += await self._stays(undone)
        return UndoPreview(plan.turns, plan.text, changes, kept, [redact(visible(note)) for note in notes])

    async def _stays(self, undone: Undone) -> list[str]:
        await refresh(self.services.store, self.turns.thread_id)
        running = [run.name or run.command for run in await self.services.store.runs.unfinished(self.turns.thread_id)]
        notes = [f"not undone: runs in progress, which may still change files ({_named(running)})"] if running else []
        return [*irreversible_effects(undone, self.services), *notes]

    def _wants_files(self, op: Undo, undone: Undone) -> bool:
        # If the turns changed no files, later changes are the user's own and must not be reverted.
        if op.files == "both":
            return op.all_files or undone.may_have_changed_files(self.services)
        return op.files == "files"

    async def _files_back(self, op: Undo, plan: UndoPlan, undone: Undone) -> tuple[RestoreResult | None, list[str]]:
        if not self._wants_files(op, undone):
            stays = op.files == "conversation" and undone.may_have_changed_files(self.services)
            return None, ["the files stay as they are"] if stays else []
        if why := await self.files.restore_problem(plan.files):
            if op.files == "files":
                raise UsageError(f"the files cannot be restored: {why}")
            return None, [f"the files stay as they are: {why}"]
        turn = _turn_files(plan.head) if op.files == "files" else ""
        request = self._request(plan.files, all_files=op.all_files, before=f"undo-{_id(plan.head)}", turn=turn)
        restored = await _or_error(self.files.restore(request))
        return restored, _notes(restored, f"at the start of turn {plan.number}")

    def _request(self, names: Iterable[str], *, all_files: bool, before: str = "", turn: str = "") -> RestoreRequest:
        before = self.files.name_of(before) if before else ""
        return RestoreRequest(list(names), self.turns.thread_id, before, turn, all_files)


async def _or_error(work: Any) -> RestoreResult:
    try:
        return cast(RestoreResult, await work)
    except SnapshotError as error:
        raise TemporaryError(f"nothing was undone: {error.why}", error.remedy or REMEDY) from error
    except OSError as error:
        raise TemporaryError(f"nothing was undone: {error.filename or 'a file'}: {error.strerror}", REMEDY) from error


def _undone(plan: UndoPlan) -> Undone:
    before: Mapping[str, Any] = plan.target.values if plan.target else {}
    return undone_calls(cast("AgentState", before), cast("AgentState", plan.head.values))


def _id(snapshot: "StateSnapshot") -> str:
    return str(snapshot.config["configurable"]["checkpoint_id"])


def _turn_files(snapshot: "StateSnapshot") -> str:
    return str(snapshot.values.get("turn_files", ""))


def _notes(restored: RestoreResult, when: str) -> list[str]:
    done = f"the files are as they were {when}"
    if restored.changes:
        done += f": {_done(restored.changes)}"
    return [done, *_kept(restored), *_stays(restored)]


def _kept(restored: RestoreResult) -> list[str]:
    if not restored.kept:
        return []
    return [f"changed by you, kept: {_named(change.path for change in restored.kept)} ({ALL_FILES})"]


def _done(changes: Iterable[FileChange]) -> str:
    paths: dict[str, list[str]] = {}
    for change in changes:
        paths.setdefault(change.kind, []).append(change.path)
    return "; ".join(f"{KINDS[kind]} {_named(found)}" for kind, found in paths.items())


def _stays(restored: RestoreResult) -> list[str]:
    """Return notes on files that the snapshots do not contain, those with known changes first."""
    out = {**restored.skipped, **{path: why for path, why in restored.excluded.items() if path not in restored.skipped}}
    notes = [f"not restored: {_named(f'{path} ({why})' for path, why in out.items())}"] if out else []
    if restored.secret:
        notes.append(f"not covered by undo: {_named(restored.secret)} (may contain secrets)")
    if restored.changes and not restored.outside_is_known:
        notes.insert(0, OUTSIDE_UNKNOWN)
    return [*notes, f"ignored files are not changed: {_named(restored.ignored)}"] if restored.ignored else notes


def _named(found: Iterable[str]) -> str:
    return listed(list(found), MAX_NAMED)


def _files_note(plan: UndoPlan, restored: RestoreResult | None) -> str:
    """Return the note to the model about an undo of files alone."""
    done = _done(restored.changes) if restored and restored.changes else "no files had changed"
    return f"I restored the files to their state at the start of turn {plan.number}: {done}. Read them again."
