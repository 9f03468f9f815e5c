"""Snapshots of a workspace's files for undo: taken at the start of a turn, compared for a preview, restored."""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from ml_intern.safety.error_log import log_error
from ml_intern.snapshots.git import GitProcesses, SnapshotError
from ml_intern.snapshots.records import Record, Records, shadow_folder
from ml_intern.snapshots.restore import RestorePlan, Restorer, plan_restore
from ml_intern.snapshots.scan import Limits
from ml_intern.snapshots.trees import ShadowRepository, Tree

ReportProblem = Callable[[str, str], None]
"""Shows the user a problem and its remedy."""


@dataclass(frozen=True)
class FileChange:
    """The effect of a restore on one file. Line counts are None for binary files."""

    path: str
    kind: Literal["changed", "created", "removed"]
    added: int | None
    removed: int | None


@dataclass(frozen=True)
class RestoreResult:
    """The result of a restore or of its preview: changed files, and files that stay as they are."""

    changes: tuple[FileChange, ...]
    skipped: dict[str, str]
    """Files that differ but are not restored, with reasons."""
    excluded: dict[str, str]
    """Files that are not part of snapshots, changed or not, with reasons."""
    ignored: tuple[str, ...]


class Snapshots:
    """The snapshots of one session's workspace. Other sessions may use the same workspace at the same time."""

    def __init__(self, home: Path, workspace: Path, report: ReportProblem, limits: Limits | None = None) -> None:
        self._home = home.resolve()
        self._workspace = workspace.resolve()
        self._report = report
        self._limits = limits or Limits()
        self._records = Records(shadow_folder(self._home, self._workspace))
        self._processes = GitProcesses()
        self._shadow: ShadowRepository | None = None
        self._task: asyncio.Task[None] | None = None
        self._restoring: asyncio.Task[RestoreResult] | None = None
        self.unavailable_reason = _unavailable_reason(self._workspace)
        """Why this session takes no snapshots; "" if it does."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the notes to show when the session opens."""
        return (f"undo cannot restore files: {self.unavailable_reason}",) if self.unavailable_reason else ()

    def begin(self, thread: str) -> str:
        """Start taking a snapshot and return its new name; "" if snapshots are unavailable."""
        name = "" if self.unavailable_reason else self._records.name_of(uuid4().hex)
        self.resume(name, thread)
        return name

    def resume(self, name: str, thread: str) -> None:
        """Start taking the snapshot with this name if it does not exist yet, as after a crash."""
        if name and self._records.contains_name(name) and not self.unavailable_reason:
            self._task = asyncio.create_task(self._take(name, thread, self._task))

    async def settled(self) -> None:
        """Wait for the snapshot that is being taken, before tools run. Failures are reported and recorded."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Finish a running restore, then abort a running snapshot."""
        if self._restoring is not None:
            await asyncio.wait({self._restoring})
        self._processes.kill_all()
        await self.settled()

    async def restore_problem(self, names: Sequence[str]) -> str:
        """Return why `restore` cannot start, or "" if it can."""
        await self.settled()
        return self.unavailable_reason or await asyncio.to_thread(self._restore_problem, names)

    async def preview(self, names: Sequence[str]) -> RestoreResult:
        """Return what `restore` would do. Raises SnapshotError."""
        await self.settled()
        return await asyncio.to_thread(self._preview, names)

    async def restore(self, names: Sequence[str], before: str, thread: str) -> RestoreResult:
        """Restore the files from the first existing snapshot of `names`, which are ordered oldest first.

        The current files are saved as the snapshot `before`, unless it exists. A started restore is finished even if
        the caller is cancelled. Raises SnapshotError if nothing was changed or the disk is full.
        """
        await self.settled()
        self._restoring = asyncio.create_task(asyncio.to_thread(self._restore, names, before, thread))
        return await asyncio.shield(self._restoring)

    def name_of(self, part: str) -> str:
        """Return the name of a snapshot of this workspace."""
        return self._records.name_of(part)

    async def has_snapshot(self, name: str) -> bool:
        """Return whether a snapshot with this name exists."""
        record = await asyncio.to_thread(self._records.read, name)
        return record is not None and record.tree is not None

    # The methods below run in a thread or handle its result.

    async def _take(self, name: str, thread: str, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before
        try:
            await asyncio.to_thread(self._take_now, name, thread)
        except SnapshotError as error:
            await self._record_failure(name, thread, error)
        except OSError as error:
            problem = SnapshotError(f"{error.strerror}: {error.filename or self._records.folder}")
            await self._record_failure(name, thread, problem)
        except Exception as error:  # noqa: BLE001  a snapshot must not fail its turn; the traceback is logged
            await self._record_failure(name, thread, SnapshotError(log_error(self._home, thread, error).message))

    async def _record_failure(self, name: str, thread: str, problem: SnapshotError) -> None:
        if self._processes.closed:
            return  # no tool has run yet, so the next session can take it
        if problem.permanent:
            self.unavailable_reason = problem.why
        self._report(f"undo cannot restore the files of this turn: {problem.why}", problem.remedy)
        try:
            await asyncio.to_thread(self._records.write, name, thread, None, problem.why)
        except OSError as error:
            log_error(self._home, thread, error)

    def _take_now(self, name: str, thread: str) -> None:
        if self._records.read(name) is None:
            shadow = self._open_shadow()
            with shadow.git.locked():
                self._records.write(name, thread, shadow.take_snapshot())

    def _open_shadow(self) -> ShadowRepository:
        if not self._workspace.is_dir():
            raise SnapshotError(f"the folder {self._workspace} no longer exists")
        if self._shadow is None:
            self._shadow = ShadowRepository(
                self._records.folder, self._workspace, self._home, self._limits, self._processes
            )
        return self._shadow

    def _restore_problem(self, names: Sequence[str]) -> str:
        try:
            self._target(names)
            self._open_shadow()
        except SnapshotError as error:
            return error.why
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return ""

    def _target(self, names: Sequence[str]) -> Tree:
        for name in names:
            if not self._records.contains_name(name):
                raise SnapshotError("that turn ran in another folder" if name else "that turn has no snapshot")
            if record := self._records.read(name):
                return _tree_of(record)
        raise SnapshotError("no snapshot was completed")

    def _preview(self, names: Sequence[str]) -> RestoreResult:
        target = self._target(names)
        shadow = self._open_shadow()
        with shadow.git.locked():
            plan = self._plan(shadow, target)
            return _result(plan, plan.skipped, shadow.line_counts(plan.now.id, target.id))

    def _restore(self, names: Sequence[str], before: str, thread: str) -> RestoreResult:
        target = self._target(names)
        shadow = self._open_shadow()
        with shadow.git.locked():
            plan = self._plan(shadow, target)
            if self._records.read(before) is None:
                self._records.write(before, thread, plan.now)
            restorer = Restorer(shadow, plan)
            try:
                restorer.run()
            except OSError as error:
                why = f"the files could not be restored: {error.strerror}"
                raise SnapshotError(why, "free some disk space and try again") from error
            return _result(plan, {**plan.skipped, **restorer.skipped}, {})

    def _plan(self, shadow: ShadowRepository, target: Tree) -> RestorePlan:
        # Files about to change are saved first, even if they are large or ignored by now.
        return plan_restore(shadow, shadow.take_snapshot(shadow.paths(target.id), limited=False), target)


def _unavailable_reason(workspace: Path) -> str:
    if shutil.which("git") is None:
        return "git is not on PATH"
    if Path.home().resolve().is_relative_to(workspace):
        return f"{workspace} is too large for snapshots; start in a project folder"
    return ""


def _tree_of(record: Record) -> Tree:
    if record.tree is None:
        raise SnapshotError(f"that turn has no snapshot: {record.why_not}")
    return record.tree


def _result(plan: RestorePlan, skipped: dict[bytes, str], counts: dict[bytes, tuple[int, int] | None]) -> RestoreResult:
    kinds: dict[bytes, Literal["changed", "created", "removed"]] = dict.fromkeys(plan.remove, "removed")
    kinds |= {change.path: "created" if change.status == "A" else "changed" for change in plan.write}
    changes = (
        FileChange(os.fsdecode(path), kind, *(counts.get(path) or (None, None)))
        for path, kind in sorted(kinds.items())
        if path not in skipped
    )
    return RestoreResult(
        tuple(changes),
        {os.fsdecode(path): why for path, why in skipped.items()},
        {os.fsdecode(path): why for path, why in plan.now.excluded.items()},
        tuple(sorted(os.fsdecode(path) for path in plan.now.ignored)),
    )
