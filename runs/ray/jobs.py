"""Jobs of a Ray cluster as a backend. The run's id is the job's, so that Ray refuses a second start."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import TemporaryError
from ml_intern.configs.paths import replace_file
from ml_intern.configs.settings import ComputeTarget
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ExternalEffects, ToolContext
from ml_intern.net.service import TooLarge
from ml_intern.runs.backends.base import Outputs, RunPlan, RunStatus
from ml_intern.runs.backends.remote_runs import TARGET, delivered_root, placed, read_target, target_of
from ml_intern.runs.logs import append_output, last_lines
from ml_intern.runs.ray.cluster import FINAL, STOP_SECONDS, JobRequest, RayCluster, node_of
from ml_intern.runs.remote.far_side.ray import FAR_SIDE, ORDER, TIMEOUT_CODE
from ml_intern.runs.remote.far_side_file import far_side_file
from ml_intern.runs.remote.order import start_order
from ml_intern.runs.remote.outputs import fetch_outputs
from ml_intern.runs.remote.tree import read_tree
from ml_intern.runs.run_folder import make_run_folder, run_folder
from ml_intern.store.runs import QUEUED, RUNNING

if TYPE_CHECKING:
    from ml_intern.store.store import Store

ABANDONED = "abandoned"
NEVER = "it was never started"
LOG_CUT = "ml-intern: the log is too large to be read through Ray; its dashboard has the rest\n"
_STATES = {"PENDING": QUEUED, "RUNNING": RUNNING, "SUCCEEDED": "succeeded", "STOPPED": "cancelled"}


class RayJobs:
    """Executes runs on Ray clusters of the settings. A handle is {"name", "target", "nodes", "id", "limit_s"}."""

    def __init__(self, store: "Store") -> None:
        self._home = store.home

    async def complete(self, plan: RunPlan, context: ToolContext, /) -> RunPlan:
        """Fill in the price and the name of the cluster. Raises ToolError for what Ray cannot do."""
        target = target_of(plan.target, context.options.compute)
        gpus = plan.gpus or target.gpus
        if gpus and not gpus.replace(".", "", 1).isdigit():
            raise ToolError(f"{plan.target} is a Ray cluster: gpus is a number, such as 1 or 0.5")
        if plan.nodes > 1:
            raise ToolError(f"{plan.target} is a Ray cluster: leave nodes out, and use ray.init() in the script")
        if plan.secrets:
            raise ToolError(
                f"{plan.target} shows the variables of a job to everyone who can open its dashboard: leave secrets "
                "out, and set them on the cluster"
            )
        hardware = ", ".join(filter(None, [plan.target, f"gpus {gpus}" if gpus else ""]))
        return replace(plan, usd_per_hour=target.usd_per_hour, gpus=gpus, hardware=hardware)

    async def effects(self, plan: RunPlan, context: ToolContext, /) -> ExternalEffects:
        """Return the cluster, which receives the working folder, and the maximum price. Raises ToolError."""
        whole = await self.complete(plan, context)
        return ExternalEffects((whole.target,), cost_usd=whole.max_usd)

    async def launch(self, plan: RunPlan, id: str, context: ToolContext) -> str:
        """Deliver the working folder and submit the job, unless one of that id exists.

        Raises:
            ToolError: the run did not start.
            TemporaryError: the cluster did not answer to the submission; the run may have started.
        """
        target = target_of(plan.target, context.options.compute)
        known = {**placed(plan.target, target, plan, id), "limit_s": plan.limit_s}
        tree = await asyncio.to_thread(read_tree, delivered_root(plan, context))
        order = start_order(plan, id, target, tree)
        blobs: dict[str, Path | bytes] = {one.digest: tree.root / one.path for one in tree.files} | dict(order.script)
        files = {f"blobs/{digest[:2]}/{digest}": content for digest, content in blobs.items()}
        files |= {ORDER: json.dumps(order.fields).encode(), FAR_SIDE: far_side_file()}
        folder = await asyncio.to_thread(make_run_folder, self._home, id)
        await asyncio.to_thread(replace_file, folder / TARGET, json.dumps(known))
        words = ["python3", FAR_SIDE, "ray-run", target.workdir]
        await _cluster(known).submit(JobRequest(id, words, files, float(plan.gpus or 0)))
        return json.dumps(known)

    async def find(self, id: str) -> str | None:
        """Return the handle of a run that its cluster knows. Raises TemporaryError."""
        if (known := await asyncio.to_thread(read_target, run_folder(self._home, id))) is None:
            return None
        job = await _job(known)
        return json.dumps(known) if job is not None and not _is_abandoned(job) else None

    async def abandon(self, id: str) -> bool:
        """Prevent a run from starting, by an empty job of its id. Return False when it has started.

        Raises TemporaryError.
        """
        if (known := await asyncio.to_thread(read_target, run_folder(self._home, id))) is None:
            return True
        try:
            await _cluster(known).submit(JobRequest(id, ["true"], {FAR_SIDE: far_side_file()}, kind=ABANDONED))
        except ToolError as error:
            raise TemporaryError(f"the state of {id} is not available: {error}", "try again later") from error
        return _is_abandoned(await _job(known) or {})

    async def inspect(self, handle: str) -> RunStatus:
        """Return the status of the run. Raises TemporaryError."""
        known = json.loads(handle)
        job = await _job(known)
        if job is None:
            return RunStatus("lost", reason=f"{known['name']} does not know its job: the cluster was started again")
        if _is_abandoned(job):
            return RunStatus("lost", reason=NEVER)
        return _status(job, known)

    async def fetch_log(self, handle: str, log: Path) -> None:
        """Append the new lines to the copy, whose length is what is known. Raises TemporaryError.

        A copy whose last line says that the log is too large stays as it is.
        """
        known = json.loads(handle)
        offset = await asyncio.to_thread(append_output, log, b"")
        if await asyncio.to_thread(last_lines, log, 1, len(LOG_CUT)) == LOG_CUT:
            return
        try:
            job, text = await _job(known), _own_output(await _cluster(known).log(known["id"]), known["id"])
        except TooLarge:
            await asyncio.to_thread(append_output, log, LOG_CUT.encode(), offset)
            return
        except ToolError as error:
            raise TemporaryError(f"the log of {known['id']} is not available: {error}", "try again later") from error
        end = len(text) if job is None or job["status"] in FINAL else text.rfind(b"\n") + 1
        if offset < end:
            await asyncio.to_thread(append_output, log, text[offset:end], offset)

    async def usage(self, handle: str) -> str:
        """Return the load, memory and GPU use of the run's node; "" if the cluster does not answer."""
        known = json.loads(handle)
        try:
            node = node_of(await _job(known) or {})
            return str((await _cluster(known).call("usage", {}, node))["usage"])
        except (TemporaryError, ToolError):
            return ""

    async def cancel(self, handle: str) -> None:
        """Stop the run and all its processes. Raises TemporaryError."""
        known = json.loads(handle)
        try:
            await _cluster(known).stop(known["id"])
            async with asyncio.timeout(2 * STOP_SECONDS):
                await _cluster(known).ended(known["id"])
        except TimeoutError:
            raise TemporaryError(f"{known['name']} did not stop {known['id']}", "try again") from None
        except ToolError as error:
            raise TemporaryError(f"{known['id']} could not be stopped: {error}", "try again") from error

    async def fetch_outputs(
        self, handle: str, patterns: Sequence[str], place: Path, *, written: bool = False
    ) -> Outputs:
        """Copy the matching files of a run below `place`. Raises ToolError and TemporaryError."""
        known = json.loads(handle)
        node = node_of(await _job(known) or {})
        return await fetch_outputs(_RayNode(_cluster(known), node), known["id"], patterns, place, written=written)


@dataclass(frozen=True)
class _RayNode:
    cluster: RayCluster
    address: str

    async def call(self, operation: str, order: Mapping[str, Any], /) -> dict[str, Any]:
        return await self.cluster.call(operation, order, self.address)


def _cluster(known: Mapping[str, Any]) -> RayCluster:
    return RayCluster(known["name"], ComputeTarget.model_validate(known["target"]))


async def _job(known: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return await _cluster(known).job(known["id"])
    except ToolError as error:
        raise TemporaryError(f"the state of {known['id']} is not available: {error}", "try again later") from error


def _own_output(log: bytes, id: str) -> bytes:
    """Return the output of a run, without the lines that Ray writes before it."""
    _, _, after = log.partition(f"Running entrypoint for job {id}: ".encode())
    return after.partition(b"\n")[2]


def _is_abandoned(job: Mapping[str, Any]) -> bool:
    return bool((job.get("metadata") or {}).get("ml-intern") == ABANDONED)


def _status(job: Mapping[str, Any], known: Mapping[str, Any]) -> RunStatus:
    """Convert what Ray knows about a job."""
    started, finished = ((job.get(name) or 0) / 1000 or None for name in ("start_time", "end_time"))
    code, message = job.get("driver_exit_code"), str(job.get("message") or "")
    seconds = (finished or time.time()) - started if started else 0.0
    state, reason = _STATES.get(job["status"], "failed"), ""
    if job["status"] == "FAILED":
        if code == TIMEOUT_CODE and seconds >= known["limit_s"]:
            state, reason = "timeout", f"it reached its time limit of {known['limit_s']:g} s"
        elif code is None:
            reason = message
    elif job["status"] == "STOPPED":
        code, reason = None, "it was stopped"
    elif job["status"] == "PENDING":
        reason = message
    return RunStatus(state, code, reason, started, finished, known["target"]["usd_per_hour"] * seconds / 3600)
