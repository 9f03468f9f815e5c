"""Snapshots of a workspace's files for undo: taken beside the turn, compared for a preview, brought back."""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from ml_intern.safety.error_log import log_error
from ml_intern.snapshots.git import NoSnapshot, Stop
from ml_intern.snapshots.records import Record, Records, shadow_folder
from ml_intern.snapshots.restore import Plan, Restorer, plan_restore
from ml_intern.snapshots.scan import Limits
from ml_intern.snapshots.trees import Shadow, Tree

Say = Callable[[str, str], None]
"""Tell the user something once: what, and what can be done about it."""


@dataclass(frozen=True)
class FileChange:
    """What bringing files back does to one of them; lines are None for what is no text."""

    path: str
    kind: Literal["changed", "created", "removed"]
    added: int | None
    removed: int | None


@dataclass(frozen=True)
class Restored:
    """What was brought back, or would be; what differs and stays, with the reasons; what is ignored and stays."""

    changes: tuple[FileChange, ...]
    kept: dict[str, str]
    left_out: dict[str, str]
    """What no snapshot of this workspace holds, whether it changed or not."""
    ignored: tuple[str, ...]


class Snapshots:
    """The snapshots of one session's workspace. Other sessions may use the same workspace at the same time."""

    def __init__(self, home: Path, workspace: Path, say: Say, limits: Limits | None = None) -> None:
        self._home = home.resolve()
        self._workspace = workspace.resolve()
        self._say = say
        self._limits = limits or Limits()
        self._records = Records(shadow_folder(self._home, self._workspace))
        self._stop = Stop()
        self._shadow: Shadow | None = None
        self._task: asyncio.Task[None] | None = None
        self._restoring: asyncio.Task[Restored] | None = None
        self.why_none = _why_none(self._workspace)
        """Why there are no snapshots in this session; "" when there are."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know when the session opens."""
        return (f"undo will not bring files back: {self.why_none}",) if self.why_none else ()

    def begin(self, thread: str) -> str:
        """Start taking a snapshot under a new name, which is returned; "" when there are none here."""
        name = "" if self.why_none else self._records.name_of(uuid4().hex)
        self.go_on(name, thread)
        return name

    def go_on(self, name: str, thread: str) -> None:
        """Take the snapshot of this name unless it was taken already, as after a crash."""
        if name and self._records.is_ours(name) and not self.why_none:
            self._task = asyncio.create_task(self._take(name, thread, self._task))

    async def settled(self) -> None:
        """Wait for the snapshot that is being taken. Tools run after it; a failure was said and is kept."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Give up what is being taken; what is being brought back is finished first."""
        if self._restoring is not None:
            await asyncio.wait({self._restoring})
        self._stop.now()
        await self.settled()

    async def why_not(self, names: Sequence[str]) -> str:
        """Why `restore` could not even begin; "" when it can."""
        await self.settled()
        return self.why_none or await asyncio.to_thread(self._why_not, names)

    async def preview(self, names: Sequence[str]) -> Restored:
        """What `restore` would do. Raises NoSnapshot."""
        await self.settled()
        return await asyncio.to_thread(self._preview, names)

    async def restore(self, names: Sequence[str], before: str, thread: str) -> Restored:
        """Bring the files back to the first of the snapshots `names` that was taken, oldest first.

        What they are before goes into a snapshot named `before`, unless there is one. Once begun it is finished, also
        when the caller is cancelled. Raises NoSnapshot when nothing was changed, or the disk is full.
        """
        await self.settled()
        self._restoring = asyncio.create_task(asyncio.to_thread(self._restore, names, before, thread))
        return await asyncio.shield(self._restoring)

    def name_of(self, part: str) -> str:
        """The name of a snapshot of this workspace."""
        return self._records.name_of(part)

    async def is_taken(self, name: str) -> bool:
        """Whether there is a snapshot of this name."""
        record = await asyncio.to_thread(self._records.read, name)
        return record is not None and record.tree is not None

    # --- in a thread

    async def _take(self, name: str, thread: str, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before
        try:
            await asyncio.to_thread(self._take_now, name, thread)
        except NoSnapshot as fault:
            await self._failed(name, thread, fault)
        except OSError as error:
            await self._failed(name, thread, NoSnapshot(f"{error.strerror}: {error.filename or self._records.folder}"))
        except Exception as error:  # noqa: BLE001  a turn must not fail for its snapshot; the traceback goes to the log
            await self._failed(name, thread, NoSnapshot(log_error(self._home, thread, error).message))

    async def _failed(self, name: str, thread: str, fault: NoSnapshot) -> None:
        if self._stop.stopped:
            return  # no tool ran yet: the next run takes it
        if fault.lasting:
            self.why_none = fault.why
        self._say(f"undo will not bring the files of this turn back: {fault.why}", fault.remedy)
        try:
            await asyncio.to_thread(self._records.write, name, thread, None, fault.why)
        except OSError as error:
            log_error(self._home, thread, error)

    def _take_now(self, name: str, thread: str) -> None:
        if self._records.read(name) is None:
            shadow = self._opened()
            with shadow.git.held():
                self._records.write(name, thread, shadow.take())

    def _opened(self) -> Shadow:
        if not self._workspace.is_dir():
            raise NoSnapshot(f"the folder {self._workspace} is gone")
        if self._shadow is None:
            self._shadow = Shadow(self._records.folder, self._workspace, self._home, self._limits, self._stop)
        return self._shadow

    def _why_not(self, names: Sequence[str]) -> str:
        try:
            self._target(names)
            self._opened()
        except NoSnapshot as fault:
            return fault.why
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return ""

    def _target(self, names: Sequence[str]) -> Tree:
        for name in names:
            if not self._records.is_ours(name):
                raise NoSnapshot("that turn worked in another folder" if name else "no snapshot was taken in that turn")
            if record := self._records.read(name):
                return _tree_of(record)
        raise NoSnapshot("no snapshot was finished")

    def _preview(self, names: Sequence[str]) -> Restored:
        target = self._target(names)
        shadow = self._opened()
        with shadow.git.held():
            plan = self._plan(shadow, target)
            return _restored(plan, plan.kept, shadow.line_counts(plan.now.id, target.id))

    def _restore(self, names: Sequence[str], before: str, thread: str) -> Restored:
        target = self._target(names)
        shadow = self._opened()
        with shadow.git.held():
            plan = self._plan(shadow, target)
            if self._records.read(before) is None:
                self._records.write(before, thread, plan.now)
            restorer = Restorer(shadow, plan)
            try:
                restorer.run()
            except OSError as error:
                why = f"the files could not be brought back: {error.strerror}"
                raise NoSnapshot(why, "free some space on the disk and try again") from error
            return _restored(plan, {**plan.kept, **restorer.kept}, {})

    def _plan(self, shadow: Shadow, target: Tree) -> Plan:
        # What is about to change is saved first, however large it is and whatever is ignored by now.
        return plan_restore(shadow, shadow.take(shadow.paths(target.id), limited=False), target)


def _why_none(workspace: Path) -> str:
    if shutil.which("git") is None:
        return "git is not on PATH"
    if Path.home().resolve().is_relative_to(workspace):
        return f"{workspace} is too much to keep; start in the folder of a project"
    return ""


def _tree_of(record: Record) -> Tree:
    if record.tree is None:
        raise NoSnapshot(f"no snapshot was taken in that turn: {record.why_not}")
    return record.tree


def _restored(plan: Plan, kept: dict[bytes, str], counts: dict[bytes, tuple[int, int] | None]) -> Restored:
    kinds: dict[bytes, Literal["changed", "created", "removed"]] = dict.fromkeys(plan.remove, "removed")
    kinds |= {change.path: "created" if change.status == "A" else "changed" for change in plan.write}
    changes = (
        FileChange(os.fsdecode(path), kind, *(counts.get(path) or (None, None)))
        for path, kind in sorted(kinds.items())
        if path not in kept
    )
    return Restored(
        tuple(changes),
        {os.fsdecode(path): why for path, why in kept.items()},
        {os.fsdecode(path): why for path, why in plan.now.left_out.items()},
        tuple(sorted(os.fsdecode(path) for path in plan.now.ignored)),
    )
