"""Evaluations on the machines of a compute pool: the files are delivered, the command runs there, its log comes back.

A failure of a machine is not a failure of the attempt: the evaluation is tried elsewhere, then it waits for the pool.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from ml_intern.configs.errors import TemporaryError, UsageError
from ml_intern.execution.call import ToolError
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.pool import Pool, member_of
from ml_intern.runs.backends.registry import POOL
from ml_intern.runs.poll import poll, stop
from ml_intern.runs.remote.far_side.supervisor import DISK_FULL
from ml_intern.runs.remote.tree import read_tree
from ml_intern.runs.run_folder import LOG, run_folder
from ml_intern.safety.secrets.redaction import redact
from ml_intern.search.evaluation import EvaluationCopy, EvaluationFailed
from ml_intern.search.files.copies import fill_links
from ml_intern.search.plan import SearchPlan
from ml_intern.store.runs import QUEUED, RUNNING, RunEnding, RunRow
from ml_intern.store.store import Store

AWAY_S: Final = 120.0
"""How long a machine may not answer until its evaluation starts elsewhere."""
PAUSE_S: Final = 15.0
"""The pause after two machines failed, or none could be used."""
_MAX_OUTPUT: Final = 4_000_000


class MachineFailed(Exception):
    """A machine failed an evaluation. The message is the reason, `member` the machine; "" if none could be used."""

    def __init__(self, why: str, member: str = "") -> None:
        super().__init__(why)
        self.member = member


def check_pool(name: str, targets: Mapping[str, Any]) -> None:
    """Raise UsageError if a search cannot evaluate on this target. `targets` are those of the settings."""
    if not name:
        return
    if targets.get(name, {}).get("kind") != "pool":
        known = ", ".join(one for one, target in targets.items() if target["kind"] == "pool") or "none"
        problem = f"--pool: {name!r} is not a pool in the settings (pools: {known})"
        raise UsageError(problem, "add one: ml-intern compute add NAME --kind pool")
    priced = [one for one in targets[name]["members"] if targets[one]["usd_per_hour"]]
    if priced:
        problem = f"--pool: {priced[0]} has a price, and the budget of a search counts models only"
        raise UsageError(problem, "use a pool of machines without a price")


@dataclass
class PoolMachines:
    """The machines of a pool. `waits` receives why evaluations wait, and "" when they do not."""

    store: Store
    plan: SearchPlan
    search_id: str
    targets: Mapping[str, Any]
    waits: Callable[[str], Awaitable[None]]
    _has_worked: bool = False

    async def stop_earlier(self) -> None:
        """Stop the evaluations that a killed process of this search left."""
        for row in await self.store.runs.unfinished(self.search_id):
            await self._give_up(row, "its search was killed")

    async def output(self, copy: EvaluationCopy, command: str, places: Sequence[str]) -> str:
        """Run a command in a copy on a machine of the pool, and return its output.

        Raises EvaluationFailed, and TemporaryError if no machine could be used since the process began.
        """
        await asyncio.to_thread(fill_links, copy.top, places, self.plan.holdout)
        failed: list[str] = []
        while True:
            try:
                found = await self._ran(copy, command, failed)
            except MachineFailed as error:
                failed = await self._after(error, failed)
                continue
            except EvaluationFailed:
                await self._worked()
                raise
            await self._worked()
            return found

    async def _worked(self) -> None:
        self._has_worked = True
        await self.waits("")

    async def _after(self, error: MachineFailed, failed: list[str]) -> list[str]:
        """Return the machines that the next try leaves out. After two failures it waits and leaves out none."""
        if error.member and not failed:
            return [error.member]
        if not self._has_worked:
            hint = f"check its machines with `ml-intern compute test NAME`, then resume the search {self.search_id}"
            raise TemporaryError(f"the pool {self.plan.pool} cannot be used: {error}", hint) from error
        await self.waits(f"waiting for a machine of {self.plan.pool}: {error}")
        await asyncio.sleep(PAUSE_S)
        return []

    async def _ran(self, copy: EvaluationCopy, command: str, failed: list[str]) -> str:
        row = await self._started(copy, command, failed)
        try:
            row = await self._ended(row)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_up(row, "its search was stopped"))
            raise
        member = await asyncio.to_thread(member_of, Path(row.log).parent)
        if row.state in ("lost", "cancelled") or row.reason.startswith(DISK_FULL):
            raise MachineFailed(f"{member}: {row.reason or row.state}", member)
        output = await asyncio.to_thread(_read, Path(row.log))
        if row.state != "succeeded":
            last = next((line for line in reversed(output.splitlines()) if line.strip()), "")[:200]
            why = row.reason if row.state == "timeout" else f"it failed on {member} with exit code {row.exit_code}"
            raise EvaluationFailed(f"the evaluator: {why}" + (f": {last}" if last else ""))
        return output

    async def _started(self, copy: EvaluationCopy, command: str, failed: list[str]) -> RunRow:
        """Deliver the files and start the command. Raises MachineFailed, EvaluationFailed."""
        name, runs = self.plan.pool, self.store.runs
        members = [one for one in self.targets[name]["members"] if one not in failed]
        if not members:
            raise MachineFailed("every machine failed")
        targets = {**self.targets, name: {**self.targets[name], "members": members}}
        limit = self.plan.attempt_seconds
        plan = RunPlan(POOL.name, command, copy.workspace, ("bash", "-c", command), target=name, slots=1, limit_s=limit)
        id = f"run-{uuid4().hex[:10]}"
        row = RunRow(
            id, self.search_id, redact(command), QUEUED, name=f"evaluation of {self.search_id}", backend=POOL.name,
            folder=self.plan.folder, hardware=name, limit_s=limit, usd_per_hour=0.0,
            log=str(run_folder(self.store.home, id) / LOG),
        )  # fmt: skip
        await runs.add(row)
        try:
            tree = await asyncio.to_thread(read_tree, copy.top, ignored=True)
        except ToolError as error:
            await runs.end(id, RunEnding("failed", reason=str(error)))
            raise EvaluationFailed(str(error)) from error
        try:
            handle = await Pool(self.store).launch_delivered(plan, id, tree, targets)
        except (ToolError, TemporaryError) as error:
            await self._give_up(row, str(error))
            raise MachineFailed(str(error)) from error
        await runs.update(id, handle=handle, state=RUNNING)
        return replace(row, handle=handle, state=RUNNING)

    async def _ended(self, row: RunRow) -> RunRow:
        """Wait for the end of a run. Raises MachineFailed if its machine does not answer for long."""
        answered = time.monotonic()
        while True:
            try:
                row = await poll(self.store, row)
                answered = time.monotonic()
            except TemporaryError as error:
                if time.monotonic() - answered > AWAY_S:
                    await self._give_up(row, error.message)
                    member = await asyncio.to_thread(member_of, Path(row.log).parent)
                    raise MachineFailed(error.message, member) from error
            if not row.open:
                return row
            await asyncio.sleep(POOL.poll_seconds)

    async def _give_up(self, row: RunRow, why: str) -> None:
        """Stop a run, or record that it is given up if its machine does not answer: it has its own time limit."""
        with suppress(TemporaryError, ToolError):
            row = await stop(self.store, row)
        if row.open:
            await self.store.runs.end(row.id, RunEnding("lost", reason=why))


def _read(log: Path) -> str:
    with log.open("rb") as file:
        return file.read(_MAX_OUTPUT).decode(errors="replace")
