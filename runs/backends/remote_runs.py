"""Runs on the user's own machines: over ssh, or as jobs of Slurm. The far side supervises them there."""

import asyncio
import base64
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import TemporaryError
from ml_intern.configs.paths import replace_file
from ml_intern.configs.settings import ComputeTarget
from ml_intern.execution.call import ToolError
from ml_intern.execution.sandboxed import secret_value
from ml_intern.execution.tool import ExternalEffects, ToolContext
from ml_intern.runs.backends.base import Outputs, RunPlan, RunStatus
from ml_intern.runs.logs import append_output
from ml_intern.runs.remote.connection import FarSide, sockets_folder
from ml_intern.runs.remote.deliver import deliver
from ml_intern.runs.remote.order import start_order
from ml_intern.runs.remote.outputs import fetch_outputs
from ml_intern.runs.remote.status_requests import StatusRequests
from ml_intern.runs.remote.tree import DeliveredFolder, read_tree
from ml_intern.runs.run_folder import make_run_folder, run_folder

if TYPE_CHECKING:
    from ml_intern.store.store import Store

TARGET = "target.json"
"""The target of a run, written to its folder before it starts, so that it can be found after a crash."""


class OwnMachines:
    """Executes runs on the targets of the settings. A handle is {"name", "target", "nodes", "id"}."""

    def __init__(self, store: "Store") -> None:
        self._home = store.home
        self._far_sides: dict[str, FarSide] = {}
        self._requests: dict[str, StatusRequests] = {}
        self._started: dict[str, float] = {}
        """When each run started, by this machine's clock."""

    async def complete(self, plan: RunPlan, context: ToolContext, /) -> RunPlan:
        """Fill in the price and the name of the machine. Raises ToolError for an unknown target."""
        target = target_of(plan.target, context.options.compute)
        gpus = plan.gpus or target.gpus
        hardware = ", ".join(filter(None, [plan.target, f"gpus {gpus}" if gpus else ""]))
        return replace(plan, usd_per_hour=target.usd_per_hour * plan.nodes, gpus=gpus, hardware=hardware)

    async def effects(self, plan: RunPlan, context: ToolContext, /) -> ExternalEffects:
        """Return the target, which receives the working folder, the maximum price and the secrets. Raises ToolError."""
        whole = await self.complete(plan, context)
        return ExternalEffects((whole.target,), cost_usd=whole.max_usd, secrets=whole.secrets)

    async def launch(self, plan: RunPlan, id: str, context: ToolContext) -> str:
        """Deliver the working folder and start the run. A run that was already started continues.

        Raises:
            ToolError: the run did not start.
            TemporaryError: the machine did not answer to the start; the run may have started.
        """
        known = placed(plan.target, target_of(plan.target, context.options.compute), plan, id)
        tree = await asyncio.to_thread(read_tree, delivered_root(plan, context))
        order = await self.deliver(known, plan, tree)
        return await self.start(known, order, plan.secrets)

    async def deliver(self, known: Mapping[str, Any], plan: RunPlan, tree: DeliveredFolder) -> dict[str, Any]:
        """Send the files that the machine does not have yet, and return the order for the start, without secrets.

        Raises ToolError.
        """
        order = start_order(plan, known["id"], ComputeTarget.model_validate(known["target"]), tree)
        try:
            await deliver(self.far_side(known), tree, order.script)
        except TemporaryError as error:
            raise ToolError(f"the run was not started: {error.message}; {error.remedy}") from error
        return order.fields

    async def start(self, known: Mapping[str, Any], order: Mapping[str, Any], secrets: Sequence[str]) -> str:
        """Start a delivered run and return its handle. Its place is recorded first. Raises as `launch`."""
        await asyncio.to_thread(self.record_place, known)
        await self.far_side(known).call("start", await with_secrets(order, secrets))
        self.forget_status(known)
        return json.dumps(known)

    async def find(self, id: str) -> str | None:
        """Return the handle of a run that its machine knows. Raises TemporaryError."""
        if (known := await asyncio.to_thread(read_target, run_folder(self._home, id))) is None:
            return None
        status = await self._status(known)
        return json.dumps(known) if status is not None else None

    async def abandon(self, id: str) -> bool:
        """Prevent a run from starting. Return False when it has started. Raises TemporaryError."""
        if (known := await asyncio.to_thread(read_target, run_folder(self._home, id))) is None:
            return True
        return bool((await self._asked(known, "abandon"))["abandoned"])

    async def inspect(self, handle: str) -> RunStatus:
        """Return the status of the run. Raises TemporaryError."""
        known = json.loads(handle)
        status = await self._status(known)
        if status is None:
            return RunStatus("lost", reason=f"its folder on {known['name']} is gone")
        started = self._start_time(known["id"], status)
        ended = started + status["seconds"] if started is not None and "seconds" in status else None
        hours = status.get("seconds", status.get("age") or 0.0) / 3600
        return RunStatus(
            status["state"],
            status.get("exit_code"),
            status.get("reason", ""),
            started,
            ended if "finished" in status else None,
            known.get("spent_usd", 0.0) + known["target"]["usd_per_hour"] * known["nodes"] * hours,
        )

    async def fetch_log(self, handle: str, log: Path) -> None:
        """Append the new output to the copy, whose length tells the offset to read from. Raises TemporaryError."""
        known = json.loads(handle)
        status = await self._status(known)
        base = known.get("log_base", 0)
        offset = await asyncio.to_thread(append_output, log, b"") - base
        while status is not None and offset < status["log"]:
            answer = await self._asked(known, "log", offset=offset)
            if not (text := _unpacked(answer["text"])):
                return
            offset = await asyncio.to_thread(append_output, log, text, base + offset) - base

    async def usage(self, handle: str) -> str:
        """Return the load, memory and GPU use of the machine; "" if it does not answer."""
        try:
            return str((await self._asked(json.loads(handle), "usage"))["usage"])
        except TemporaryError:
            return ""

    async def cancel(self, handle: str) -> None:
        """Stop the run and all its processes. Raises TemporaryError."""
        known = json.loads(handle)
        await self._asked(known, "cancel")
        self.forget_status(known)

    async def withdraw(self, handle: str) -> bool:
        """Take a run out of its machine's queue. Return False when it does not wait there. Raises TemporaryError."""
        known = json.loads(handle)
        withdrawn = bool((await self._asked(known, "withdraw"))["withdrawn"])
        self.forget_status(known)
        return withdrawn

    async def fetch_outputs(
        self, handle: str, patterns: Sequence[str], place: Path, *, written: bool = False
    ) -> Outputs:
        """Copy the matching files of a run below `place`. Raises ToolError and TemporaryError."""
        known = json.loads(handle)
        return await fetch_outputs(self.far_side(known), known["id"], patterns, place, written=written)

    # --- the far side

    def record_place(self, known: Mapping[str, Any]) -> None:
        """Record where a run starts, so that it can be found after a crash. It blocks."""
        replace_file(make_run_folder(self._home, known["id"]) / TARGET, json.dumps(known))

    def forget_status(self, known: Mapping[str, Any]) -> None:
        """Ask the machine of a run again at the next question about its status."""
        self._requests_of(known).forget()

    def far_side(self, known: Mapping[str, Any]) -> FarSide:
        """Return the connection to the machine of a run."""
        key = json.dumps(known["target"])
        if key not in self._far_sides:
            target = ComputeTarget.model_validate(known["target"])
            self._far_sides[key] = FarSide(known["name"], target, sockets_folder(self._home))
        return self._far_sides[key]

    def _requests_of(self, known: Mapping[str, Any]) -> StatusRequests:
        key = json.dumps(known["target"])
        if key not in self._requests:
            self._requests[key] = StatusRequests(self.far_side(known))
        return self._requests[key]

    async def _status(self, known: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            return await self._requests_of(known).status(known["id"])
        except ToolError as error:
            raise TemporaryError(f"the state of {known['id']} is not available: {error}", "try again later") from error

    async def _asked(self, known: Mapping[str, Any], operation: str, **more: Any) -> dict[str, Any]:
        try:
            return await self.far_side(known).call(operation, {"id": known["id"], **more})
        except ToolError as error:
            raise TemporaryError(f"{known['id']}: {error}", "try again later") from error

    def _start_time(self, id: str, status: Mapping[str, Any]) -> float | None:
        """Return when a run started by this machine's clock, since the other clock may be wrong."""
        if id not in self._started and status.get("age") is not None:
            self._started[id] = time.time() - status["age"]
        return self._started.get(id)


def placed(name: str, target: ComputeTarget, plan: RunPlan, id: str) -> dict[str, Any]:
    """Return the handle's values for a run of `plan` on the target `name`."""
    return {"name": name, "target": target.model_dump(), "nodes": plan.nodes, "id": id}


def delivered_root(plan: RunPlan, context: ToolContext) -> Path:
    """Return the folder whose files are delivered: the workspace, or a working folder outside it."""
    return context.workspace if plan.workdir.is_relative_to(context.workspace) else plan.workdir


async def with_secrets(order: Mapping[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    """Return an order with the values of secrets in its environment."""
    values = {name: await asyncio.to_thread(secret_value, name) for name in secrets}
    return {**order, "environment": {**order["environment"], **values}}


def target_of(name: str, targets: Mapping[str, Any]) -> ComputeTarget:
    """Return a target of the settings. Raises ToolError for an unknown one."""
    if name not in targets:
        known = ", ".join(targets) or "none"
        raise ToolError(f"there is no target {name!r} in the settings (compute: {known})")
    return ComputeTarget.model_validate(targets[name])


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text)) if text else b""


def read_target(folder: Path) -> dict[str, Any] | None:
    """Return the values of a run's handle, which are recorded before it starts; None for a run without a target."""
    try:
        known: dict[str, Any] = json.loads((folder / TARGET).read_text())
    except FileNotFoundError:
        return None
    return known
