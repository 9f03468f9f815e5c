"""Pools: runs wait on one of several targets, move to another one that is free, and start again where a machine failed.

A run is on one target at a time: it moves only when its target confirmed that it never starts there, and starts again
elsewhere only when nothing of it is left.
"""

import asyncio
import fcntl
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import TemporaryError
from ml_intern.configs.paths import replace_file
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ExternalEffects, ToolContext
from ml_intern.runs.backends.base import Outputs, RunPlan, RunStatus
from ml_intern.runs.backends.remote_runs import TARGET, OwnMachines, delivered_root, placed, target_of
from ml_intern.runs.logs import append_output
from ml_intern.runs.remote.far_side.runs import KILLED, RESTARTED
from ml_intern.runs.remote.far_side.slots import WITHDRAWN
from ml_intern.runs.remote.far_side.supervisor import LEFT_QUEUE
from ml_intern.runs.remote.tree import DeliveredFolder, read_tree
from ml_intern.runs.run_folder import LOG, make_run_folder, run_folder
from ml_intern.store.runs import QUEUED

if TYPE_CHECKING:
    from ml_intern.store.store import Store

LOSSES = (RESTARTED, KILLED, LEFT_QUEUE)
ORDERS = "orders.json"
"""The orders of a run by target, with the targets that it has left, in its folder."""
MAX_LOSSES = 1
"""How many machines may fail before the run counts as lost."""
SECONDS_BETWEEN_TRIES = 0.1


class Pool:
    """Executes runs on the members of pools. A handle is {"id"}; the run's folder has its present target."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._machines = OwnMachines(store)

    async def complete(self, plan: RunPlan, context: ToolContext, /) -> RunPlan:
        """Fill in the highest price of the members. Raises ToolError for an unknown target."""
        members = _members(plan, context)
        if (plan.gpus or plan.nodes > 1) and any(one["kind"] != "slurm" for one in members.values()):
            raise ToolError(f"{plan.target} has members without a queue: leave gpus and nodes out")
        price = max(one["usd_per_hour"] for one in members.values()) * plan.nodes
        return replace(plan, usd_per_hour=price, hardware=plan.target, slots=1)

    async def effects(self, plan: RunPlan, context: ToolContext, /) -> ExternalEffects:
        """Return the pool, which receives the working folder, the maximum price and the secrets. Raises ToolError."""
        whole = await self.complete(plan, context)
        return ExternalEffects((whole.target,), cost_usd=whole.max_usd, secrets=whole.secrets)

    async def launch(self, plan: RunPlan, id: str, context: ToolContext) -> str:
        """Deliver the working folder to all members that answer, and start the run on the one with the shortest queue.

        Raises ToolError and TemporaryError as OwnMachines.
        """
        tree = await asyncio.to_thread(read_tree, delivered_root(plan, context))
        return await self.launch_delivered(plan, id, tree, context.options.compute)

    async def launch_delivered(self, plan: RunPlan, id: str, tree: DeliveredFolder, targets: Mapping[str, Any]) -> str:
        """Launch a run with these files. `targets` are the targets of the settings. Raises as `launch`."""
        folder = await asyncio.to_thread(make_run_folder, self._store.home, id)
        while True:
            with _moving(folder) as is_ours:
                if is_ours:
                    if not (folder / ORDERS).exists():
                        orders = await self._delivered(plan, id, tree, targets)
                        _write(
                            folder,
                            {"orders": orders, "secrets": plan.secrets, "left": [], "losses": 0, "slots": plan.slots},
                        )
                    await self._place(folder, member_of(folder))
                    return json.dumps({"id": id})
            await asyncio.sleep(SECONDS_BETWEEN_TRIES)

    async def find(self, id: str) -> str | None:
        """Return the handle of a run that its target knows. Raises TemporaryError."""
        return json.dumps({"id": id}) if await self._machines.find(id) is not None else None

    async def abandon(self, id: str) -> bool:
        """Prevent a run from starting. Return False when it has started. Raises TemporaryError."""
        return await self._machines.abandon(id)

    async def inspect(self, handle: str) -> RunStatus:
        """Return the status of the run, after moving it where it can start sooner. Raises TemporaryError."""
        folder = self._folder(handle)
        status = await self._machines.inspect(self._at(handle))
        if status.state == QUEUED or _is_gone(status):
            with _moving(folder) as is_ours:
                status = await self._moved(folder, status) if is_ours else replace(status, state=QUEUED)
        where = f"on {json.loads(self._at(handle))['name']}"
        return replace(status, reason=f"{status.reason} {where}" if status.reason else where)

    async def fetch_log(self, handle: str, log: Path) -> None:
        """Append the new output to the copy. Raises TemporaryError."""
        await self._machines.fetch_log(self._at(handle), log)

    async def usage(self, handle: str) -> str:
        """Return the load, memory and GPU use of the machine; "" if it does not answer."""
        return await self._machines.usage(self._at(handle))

    async def cancel(self, handle: str) -> None:
        """Stop the run and all its processes. Raises TemporaryError."""
        await self._machines.cancel(self._at(handle))

    async def fetch_outputs(
        self, handle: str, patterns: Sequence[str], place: Path, *, written: bool = False
    ) -> Outputs:
        """Copy the matching files of a run below `place`. Raises ToolError and TemporaryError."""
        return await self._machines.fetch_outputs(self._at(handle), patterns, place, written=written)

    # --- placing

    async def _delivered(
        self, plan: RunPlan, id: str, tree: DeliveredFolder, targets: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the run's place and order for each member that has its files now. Raises ToolError without any."""
        names, problems = list(targets[plan.target]["members"]), list[str]()

        async def one(name: str) -> tuple[str, Any]:
            known = placed(name, target_of(name, targets), plan, id)
            try:
                return name, {"known": known, "order": await self._machines.deliver(known, plan, tree)}
            except ToolError as error:
                problems.append(str(error))
                return name, None

        found = {name: order for name, order in await asyncio.gather(*map(one, names)) if order}
        if not found:
            raise ToolError(f"no member of {plan.target} can be used: {'; '.join(problems)}")
        return found

    async def _moved(self, folder: Path, status: RunStatus) -> RunStatus:
        """Move a run that waits to a free member, or away from a machine that failed. Return its status."""
        state, here = _read(folder), member_of(folder)
        loads = await self._loads(state)
        if status.state == QUEUED and not any(load < 1 for name, load in loads.items() if name != here):
            return status
        if status.state == QUEUED and not await self._machines.withdraw(_text(folder)):
            return status
        if here not in state["left"]:
            await self._leave(folder, state, status)
        if not _may_move(state):
            return status
        try:
            await self._place(folder, "")
        except ToolError as error:
            return RunStatus("lost", reason="; ".join(filter(None, [status.reason, str(error)])))
        return RunStatus(QUEUED, reason=f"moved from {here}, now")

    async def _leave(self, folder: Path, state: dict[str, Any], status: RunStatus) -> None:
        """Record that the run left its target. If that failed, its output is copied and what happens is noted in it."""
        here = member_of(folder)
        if status.state == "lost":
            await self._machines.fetch_log(_text(folder), folder / LOG)
            _count_loss(state, status)
        state["left"].append(here)
        if status.state == "lost" and _may_move(state) and len(state["left"]) < len(state["orders"]):
            note = f"\nml-intern: {here}: {status.reason}; the run starts again elsewhere\n".encode()
            await asyncio.to_thread(append_output, folder / LOG, note)
        _write(folder, state)

    async def _place(self, folder: Path, first: str) -> None:
        """Start the run on `first`, where it may have started before, else on the least loaded member left."""
        state = _read(folder)
        loads = await self._loads(state)
        problems = []
        base = await asyncio.to_thread(append_output, folder / LOG, b"")
        for name in [first] if first else sorted(loads, key=lambda one: loads[one]):
            known = {**state["orders"][name]["known"], "log_base": base, "spent_usd": state.get("spent_usd", 0.0)}
            order = state["orders"][name]["order"]
            order = {**order, "limit_s": state.get("limit_s", order["limit_s"])}
            try:
                await self._machines.start(known, order, state["secrets"])
            except ToolError as error:
                problems.append(str(error))
                state["left"].append(name)
                _write(folder, state)
                continue
            return
        raise ToolError("; ".join(problems) or "no other member of the pool is left")

    async def _loads(self, state: Mapping[str, Any]) -> dict[str, float]:
        """Return the open runs of each member that the run can use, by its number of slots."""
        rows = await self._store.runs.unfinished()
        folders = [run_folder(self._store.home, row.id) for row in rows]
        places = Counter(await asyncio.to_thread(lambda: [member_of(one) for one in folders]))
        return {
            name: places[name] / (place["known"]["target"]["max_runs"] or state.get("slots") or 1)
            for name, place in state["orders"].items()
            if name not in state["left"]
        }

    def _folder(self, handle: str) -> Path:
        return run_folder(self._store.home, json.loads(handle)["id"])

    def _at(self, handle: str) -> str:
        """Return the handle of the run on its present target."""
        return _text(self._folder(handle))


def _is_gone(status: RunStatus) -> bool:
    """Return whether a run was withdrawn, or ended with its machine or its supervisor, and nothing of it is left."""
    if status.state == "lost":
        return status.reason.startswith(LOSSES)
    return status.state == "cancelled" and status.reason == WITHDRAWN


def _may_move(state: Mapping[str, Any]) -> bool:
    """Return whether few enough machines failed and time is left."""
    return bool(state["losses"] <= MAX_LOSSES and state.get("limit_s", 1) > 0)


def _count_loss(state: dict[str, Any], status: RunStatus) -> None:
    """Count the loss, and take what the run has used from its time limit and add it to its cost."""
    limit = next(iter(state["orders"].values()))["order"]["limit_s"]
    state["losses"] += 1
    state["limit_s"] = limit - (time.time() - status.started if status.started is not None else 0.0)
    state["spent_usd"] = status.cost_usd or 0.0


def _members(plan: RunPlan, context: ToolContext) -> dict[str, Mapping[str, Any]]:
    pool = target_of(plan.target, context.options.compute)
    return {name: target_of(name, context.options.compute).model_dump() for name in pool.members}


def _text(folder: Path) -> str:
    try:
        return (folder / TARGET).read_text()
    except FileNotFoundError as error:
        raise TemporaryError(f"{folder.name} has no target yet", "try again later") from error


def member_of(folder: Path) -> str:
    """Return the name of the present target of the run with this folder; "" before it has one, and for runs without."""
    try:
        return str(json.loads((folder / TARGET).read_text())["name"])
    except FileNotFoundError:
        return ""


def _read(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / ORDERS).read_text())
    return state


def _write(folder: Path, state: Mapping[str, Any]) -> None:
    replace_file(folder / ORDERS, json.dumps(state))


@contextmanager
def _moving(folder: Path) -> Iterator[bool]:
    """Hold the lock for changing a run's target. Yield whether it was free."""
    with (folder / "moving").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
