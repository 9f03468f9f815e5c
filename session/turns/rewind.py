"""Undo and redo as the user sees them: the conversation, the files or both, and what is said about what stays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ml_intern.configs.errors import TemporaryError, UsageError
from ml_intern.execution.tool import Services
from ml_intern.graph.operations import Redo, Scope, Undo
from ml_intern.safety.secrets.redaction import redact
from ml_intern.session.turns.irreversible import Undone, lasting, undone_calls
from ml_intern.session.turns.turns import Turns, UndoPlan
from ml_intern.snapshots.git import SnapshotError
from ml_intern.snapshots.workspace import FileChange, RestoreResult, Snapshots
from ml_intern.text.formatting import listed
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

    from ml_intern.graph.state import AgentState

MAX_NAMED = 5
REMEDY = "undo the conversation alone, or try again"
KINDS = {"changed": "changed back", "created": "brought back", "removed": "removed"}


@dataclass(frozen=True)
class Moved:
    """What an undo or a redo did: the turns of the conversation it moved over, and what the user should know."""

    turns: int
    text: str
    """The user's message of the oldest turn that was undone, or of the newest that is there again."""
    notes: list[str]


@dataclass(frozen=True)
class UndoPreview:
    """What an undo would do: the turns it takes back, and file by file what it changes on disk."""

    turns: int
    text: str
    changes: tuple[FileChange, ...]
    notes: list[str]


@dataclass(frozen=True)
class Rewind:
    """Moves a thread that is held by this process and not running, and the files of its workspace with it."""

    turns: Turns
    files: Snapshots
    services: Services

    async def move(self, op: Undo | Redo) -> Moved:
        """Undo or redo, and bring the thread's row up to date.

        Raises:
            UsageError: there is no turn to undo or redo, or its files alone were asked for and cannot be restored.
            TemporaryError: the files could not be saved or restored; the conversation stays as it is.
        """
        moved = await (self.undo(op) if isinstance(op, Undo) else self.redo(op))
        number = int((await self.turns.snapshot()).values.get("turn", 0))
        await self.services.store.threads.update(self.turns.thread_id, turns=number, state="idle")
        return moved

    async def undo(self, op: Undo) -> Moved:
        """Take the last turns back.

        Raises:
            UsageError: there is no turn to take back, or its files alone were asked for and cannot be.
            TemporaryError: the files could not be saved or brought back; the conversation stays as it is.
        """
        await self.turns.close_open("taken back by the user")
        plan = await self.turns.plan_undo(op.turns)
        undone = _undone(plan)
        restored, notes = await self._files_back(op.files, plan, undone)
        stays = await self._stays(undone)
        if op.files == "files":
            await self.turns.remember_tip(plan.head)
            await self.turns.append_note(_told(plan, restored))
            return Moved(0, "", [redact(visible(note)) for note in (*notes, *stays)])
        await self.turns.undo(plan)
        return Moved(plan.turns, plan.text, [redact(visible(note)) for note in (*notes, *stays)])

    async def redo(self, op: Redo) -> Moved:
        """Bring back what the last undo took. Raises as `undo` does."""
        tip = await self.turns.tip()
        head = await self.turns.snapshot()
        notes: list[str] = []
        name = self.files.name_of(f"undo-{_id(tip)}")
        if op.files != "conversation" and await self.files.has_snapshot(name):
            restored = await self._restore([name], f"redo-{_id(head)}")
            notes = [redact(visible(note)) for note in _notes(restored, "before the undo")]
        elif op.files == "files":
            raise UsageError("there are no files to redo", "the last undo took back no files")
        if op.files == "files":
            return Moved(0, "", notes)
        again = int(tip.values.get("turn", 0)) - int(head.values.get("turn", 0))
        return Moved(again, await self.turns.redo(tip), notes)

    async def preview(self, op: Undo) -> UndoPreview:
        """What `undo` would do. Raises as `undo` does, and changes nothing."""
        plan = await self.turns.plan_undo(op.turns)
        undone = _undone(plan)
        changes: tuple[FileChange, ...] = ()
        notes: list[str] = []
        if self._wants_files(op.files, undone):
            if why := await self.files.restore_problem(plan.files):
                notes = [f"the files stay as they are: {why}"]
            else:
                found = await _or_error(self.files.preview(plan.files))
                changes, notes = found.changes, _stays(found)
        notes += await self._stays(undone)
        return UndoPreview(plan.turns, plan.text, changes, [redact(visible(note)) for note in notes])

    async def _stays(self, undone: Undone) -> list[str]:
        going = [run.command for run in await self.services.store.runs.unfinished(self.turns.thread_id)]
        goes_on = [f"not undone: runs that still go on, and write what they write ({_named(going)})"] if going else []
        return [*lasting(undone, self.services), *goes_on]

    def _wants_files(self, scope: Scope, undone: Undone) -> bool:
        # What the user did to the files since is not ours to take back with a turn that changed none.
        return scope == "files" or (scope == "both" and undone.may_have_changed_files(self.services))

    async def _files_back(self, scope: Scope, plan: UndoPlan, undone: Undone) -> tuple[RestoreResult | None, list[str]]:
        if not self._wants_files(scope, undone):
            stays = scope == "conversation" and undone.may_have_changed_files(self.services)
            return None, ["the files stay as they are"] if stays else []
        if why := await self.files.restore_problem(plan.files):
            if scope == "files":
                raise UsageError(f"the files cannot be brought back: {why}")
            return None, [f"the files stay as they are: {why}"]
        restored = await self._restore(plan.files, f"undo-{_id(plan.head)}")
        return restored, _notes(restored, f"at the start of turn {plan.number}")

    async def _restore(self, names: Iterable[str], before: str) -> RestoreResult:
        thread = self.turns.thread_id
        return await _or_error(self.files.restore(list(names), self.files.name_of(before), thread))


async def _or_error(work: Any) -> RestoreResult:
    try:
        return cast(RestoreResult, await work)
    except SnapshotError as fault:
        raise TemporaryError(f"the turn stays: {fault.why}", fault.remedy or REMEDY) from fault
    except OSError as error:
        raise TemporaryError(f"the turn stays: {error.filename or 'a file'}: {error.strerror}", REMEDY) from error


def _undone(plan: UndoPlan) -> Undone:
    before: Mapping[str, Any] = plan.target.values if plan.target else {}
    return undone_calls(cast("AgentState", before), cast("AgentState", plan.head.values))


def _id(snapshot: "StateSnapshot") -> str:
    return str(snapshot.config["configurable"]["checkpoint_id"])


def _notes(restored: RestoreResult, when: str) -> list[str]:
    if not restored.changes:
        return [f"the files are as they were {when}", *_stays(restored)]
    return [f"the files are as they were {when}: {_done(restored.changes)}", *_stays(restored)]


def _done(changes: Iterable[FileChange]) -> str:
    paths: dict[str, list[str]] = {}
    for change in changes:
        paths.setdefault(change.kind, []).append(change.path)
    return "; ".join(f"{KINDS[kind]} {_named(found)}" for kind, found in paths.items())


def _stays(restored: RestoreResult) -> list[str]:
    """What the snapshots do not hold; what differs for sure comes first."""
    out = {**restored.skipped, **{path: why for path, why in restored.excluded.items() if path not in restored.skipped}}
    notes = [f"left as they are: {_named(f'{path} ({why})' for path, why in out.items())}"] if out else []
    return [*notes, f"ignored files stay: {_named(restored.ignored)}"] if restored.ignored else notes


def _named(found: Iterable[str]) -> str:
    return listed(list(found), MAX_NAMED)


def _told(plan: UndoPlan, restored: RestoreResult | None) -> str:
    """What the model is told when the files moved and the conversation did not."""
    done = _done(restored.changes) if restored and restored.changes else "nothing had changed"
    return f"I took the files back to what they were at the start of turn {plan.number}: {done}. Read them again."
