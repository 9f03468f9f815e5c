"""Snapshots of a workspace's files for undo: taken at the start and end of a turn, compared for a preview, restored."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from uuid import uuid4

from ml_intern.safety.error_log import log_error
from ml_intern.snapshots.git import GitProcesses, SnapshotError
from ml_intern.snapshots.points import Outside, find_outside
from ml_intern.snapshots.records import Kind, Record, Records, shadow_folder
from ml_intern.snapshots.restore import RestorePlan, Restorer, plan_restore
from ml_intern.snapshots.scan import Limits, is_secret
from ml_intern.snapshots.trees import ShadowRepository, Tree

END_SECONDS = 10.0
"""Limit of the wait for the snapshot at the end of a turn, which then continues in the background."""
ReportProblem = Callable[[str, str], None]
"""Shows the user a problem and its remedy."""


@dataclass(frozen=True)
class RestoreRequest:
    """Snapshots to restore, and where to record what the restore does."""

    names: Sequence[str]
    """The snapshots of the undone turns, oldest first. The first existing one is restored."""
    thread: str
    before: str = ""
    """Name under which the current files are saved first, unless it exists."""
    turn: str = ""
    """The snapshot of the turn that stays the current one. Its next undo must not count the restore as the user's."""
    all_files: bool = False
    """Restore files that were changed outside the turns, too."""


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
    kept: tuple[FileChange, ...]
    """Changes that are not made, since the files were changed outside the turns."""
    secret: tuple[str, ...]
    """Files that are in no snapshot, since they may contain secrets."""
    outside_is_known: bool = True
    """False if the end of a turn was not recorded, so that later changes count as the turn's."""


@dataclass(frozen=True)
class _Point:
    """A snapshot to take of the turn `name`."""

    name: str
    thread: str
    kind: Kind = "start"
    is_first: bool = False
    is_unchanged: bool = False
    """No tool ran since the previous snapshot, so its files are used."""

    def follows(self, points: Sequence[Record]) -> bool:
        """Return whether to take the snapshot after these of its turn, which may belong to the source of a fork."""
        if not points or points[0].tree is None or points[0].thread != self.thread:
            return False
        return points[-1].kind != self.kind


_KINDS: Mapping[str, Literal["created", "removed"]] = {"A": "created", "D": "removed"}


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
        self._ending: asyncio.Task[None] | None = None
        self._restoring: asyncio.Task[RestoreResult] | None = None
        self._turn = _Point("", "")
        self._tools_ran = True  # perhaps in an earlier process
        self.unavailable_reason = _unavailable_reason(self._workspace)
        """Why this session takes no snapshots; "" if it does."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the notes to show when the session opens."""
        return (f"undo cannot restore files: {self.unavailable_reason}",) if self.unavailable_reason else ()

    def begin(self, thread: str) -> str:
        """Start taking the first snapshot of a turn and return its new name; "" if snapshots are unavailable."""
        name = "" if self.unavailable_reason else self._records.name_of(uuid4().hex)
        self.resume(name, thread)
        self._tools_ran = False
        return name

    def resume(self, name: str, thread: str, *, tools_ran: bool = False) -> None:
        """Make this the current turn. Start taking its first snapshot if no tool ran and it does not exist, as after a
        crash."""
        self._turn = _Point(name, thread, is_first=True)
        self._tools_ran = True
        if not tools_ran:
            self._schedule(self._turn)

    def continue_turn(self, name: str, thread: str) -> None:
        """Start taking a snapshot before the turn `name` continues, unless its end was not recorded."""
        self._turn = _Point(name, thread)
        self._tools_ran = False
        self._schedule(self._turn)

    async def end_turn(self) -> None:
        """Take a snapshot where the current turn ends or waits. Without tool calls this returns at once."""
        self._ending = self._schedule(
            _Point(self._turn.name, self._turn.thread, "end", is_unchanged=not self._tools_ran)
        )
        if self._ending is not None and self._tools_ran:
            await asyncio.wait({self._ending}, timeout=END_SECONDS)

    def _schedule(self, point: "_Point") -> "asyncio.Task[None] | None":
        if not self._records.contains_name(point.name) or self.unavailable_reason:
            return None
        self._task = asyncio.create_task(self._take(point, self._task))
        return self._task

    async def settled(self) -> None:
        """Wait for the snapshot that is being taken, before tools run. Failures are reported and recorded."""
        self._tools_ran = True
        await self._taken()

    async def _taken(self) -> None:
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Finish a running restore and the snapshot at the end of a turn, then abort a running snapshot."""
        if self._restoring is not None:
            await asyncio.wait({self._restoring})
        if self._ending is not None and self._tools_ran:
            await asyncio.wait({self._ending}, timeout=END_SECONDS)
        self._processes.kill_all()
        await self._taken()

    async def restore_problem(self, names: Sequence[str]) -> str:
        """Return why `restore` cannot start, or "" if it can."""
        await self._taken()
        return self.unavailable_reason or await asyncio.to_thread(self._restore_problem, names)

    async def preview(self, request: RestoreRequest) -> RestoreResult:
        """Return what `restore` would do. Raises SnapshotError."""
        await self._taken()
        return await asyncio.to_thread(self._preview, request)

    async def restore(self, request: RestoreRequest) -> RestoreResult:
        """Restore the files of a snapshot.

        A started restore is finished even if the caller is cancelled. Raises SnapshotError if nothing was changed or
        the disk is full.
        """
        await self._taken()
        self._restoring = asyncio.create_task(asyncio.to_thread(self._restore, request))
        return await asyncio.shield(self._restoring)

    def name_of(self, part: str) -> str:
        """Return the name of a snapshot of this workspace."""
        return self._records.name_of(part)

    async def has_snapshot(self, name: str) -> bool:
        """Return whether a snapshot with this name exists."""
        record = await asyncio.to_thread(self._records.read, name)
        return record is not None and record.tree is not None

    # The methods below run in a thread or handle its result.

    async def _take(self, point: "_Point", before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before
        try:
            await asyncio.to_thread(self._take_now, point)
        except SnapshotError as error:
            await self._record_failure(point, error)
        except OSError as error:
            problem = SnapshotError(f"{error.strerror}: {error.filename or self._records.folder}")
            await self._record_failure(point, problem)
        except Exception as error:  # noqa: BLE001  a snapshot must not fail its turn; the traceback is logged
            await self._record_failure(point, SnapshotError(log_error(self._home, point.thread, error).message))

    async def _record_failure(self, point: "_Point", problem: SnapshotError) -> None:
        if self._processes.closed:
            return  # no tool has run yet, or the end of the turn counts as not recorded
        if problem.permanent and point.is_first:
            self.unavailable_reason = problem.why
        what = "undo cannot restore the files of this turn"
        if not point.is_first:
            what = "undo cannot tell the changes of this turn from later ones"
        self._report(f"{what}: {problem.why}", problem.remedy)
        record = Record(point.thread, 0, None, problem.why, point.kind)
        try:
            await asyncio.to_thread(self._records.add, point.name, record)
        except OSError as error:
            log_error(self._home, point.thread, error)

    def _take_now(self, point: "_Point") -> None:
        points = list(self._records.points(point.name))
        if points if point.is_first else not point.follows(points):
            return
        if point.is_unchanged:
            self._records.add(point.name, replace(points[-1], kind=point.kind))
            return
        shadow = self._open_shadow()
        with shadow.git.locked():
            self._records.add(point.name, Record(point.thread, 0, shadow.take_snapshot(), kind=point.kind))

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
        return _tree_of(self._points(names)[0])

    def _points(self, names: Sequence[str]) -> list[Record]:
        """Return the snapshots of the turns, oldest first, from the first turn that has one."""
        points: list[Record] = []
        for name in names:
            if self._records.contains_name(name):
                points += self._records.points(name)
            elif not points:
                raise SnapshotError("that turn ran in another folder" if name else "that turn has no snapshot")
            elif not name:
                points.append(Record("", 0, None))
        if not points:
            raise SnapshotError("no snapshot was completed")
        return points

    def _preview(self, request: RestoreRequest) -> RestoreResult:
        points = self._points(request.names)
        target = _tree_of(points[0])
        shadow = self._open_shadow()
        with shadow.git.locked():
            plan, outside = self._plan(shadow, points, request)
            return _result(plan, outside, plan.skipped, shadow.line_counts(plan.now.id, target.id))

    def _restore(self, request: RestoreRequest) -> RestoreResult:
        points = self._points(request.names)
        shadow = self._open_shadow()
        with shadow.git.locked():
            plan, outside = self._plan(shadow, points, request)
            if self._records.read(request.before) is None:
                self._records.write(request.before, request.thread, plan.now)
            restorer = Restorer(shadow, plan)
            try:
                restorer.run()
            except OSError as error:
                why = f"the files could not be restored: {error.strerror}"
                raise SnapshotError(why, "free some disk space and try again") from error
            self._record_restore(shadow, plan.now, request)
            return _result(plan, outside, {**plan.skipped, **restorer.skipped}, {})

    def _record_restore(self, shadow: ShadowRepository, now: Tree, request: RestoreRequest) -> None:
        """Record the files before and after the restore as a start and an end, so that they are not the user's."""
        try:
            after = shadow.take_snapshot(shadow.paths(now.id), limited=False)
            for name in (request.before, request.turn):
                points = list(self._records.points(name))
                if points and points[-1].kind == "end":
                    self._records.add(name, Record(request.thread, 0, now))
                if points:
                    self._records.add(name, Record(request.thread, 0, after, kind="end"))
        except (SnapshotError, OSError) as error:
            log_error(self._home, request.thread, error)  # the files are restored, and a redo reports the missing end

    def _plan(
        self, shadow: ShadowRepository, points: Sequence[Record], request: RestoreRequest
    ) -> tuple[RestorePlan, Outside]:
        # Files about to change are saved first, even if they are large or ignored by now.
        target = _tree_of(points[0])
        now = shadow.take_snapshot(shadow.paths(target.id), limited=False)
        outside = Outside() if request.all_files else find_outside(shadow, points, now)
        return plan_restore(shadow, now, target, outside), outside


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


def _result(
    plan: RestorePlan,
    outside: Outside,
    skipped: dict[bytes, str],
    counts: dict[bytes, tuple[int, int] | None],
) -> RestoreResult:
    made: dict[bytes, str] = dict.fromkeys(plan.remove, "D") | {change.path: change.status for change in plan.write}
    now, target = plan.now, plan.target
    return RestoreResult(
        _file_changes({path: status for path, status in made.items() if path not in skipped}, counts),
        {os.fsdecode(path): why for path, why in skipped.items() if not is_secret(path)},
        {os.fsdecode(path): why for path, why in now.excluded.items() if not is_secret(path)},
        _decoded(path for path in now.ignored if not is_secret(path)),
        _file_changes({change.path: change.status for change in plan.kept}, counts),
        _decoded(filter(is_secret, {*now.excluded, *now.ignored, *target.excluded, *skipped})),
        outside.is_complete,
    )


def _decoded(paths: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(sorted(os.fsdecode(path) for path in paths))


def _file_changes(
    statuses: Mapping[bytes, str], counts: Mapping[bytes, tuple[int, int] | None]
) -> tuple[FileChange, ...]:
    return tuple(
        FileChange(os.fsdecode(path), _KINDS.get(status, "changed"), *(counts.get(path) or (None, None)))
        for path, status in sorted(statuses.items())
    )
