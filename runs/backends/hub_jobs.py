"""Hugging Face Jobs as a backend. A run is a job with the run's id as its label."""

import asyncio
import base64
import gzip
import io
import json
import re
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import TemporaryError
from ml_intern.execution.call import ToolError
from ml_intern.execution.sandboxed import secret_value
from ml_intern.execution.tool import ExternalEffects, ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_identity import get_hub_token, token_owner
from ml_intern.net.service import NotFound, TooManyRequests, Unavailable
from ml_intern.runs.backends.base import RunPlan, RunStatus
from ml_intern.runs.backends.hardware import DEFAULT, all_hardware, hardware_of
from ml_intern.runs.backends.hub_labels import AmbiguousJob, job_with_id, labelled_job, stage_of
from ml_intern.runs.backends.hub_log import LogFollowers
from ml_intern.store.runs import QUEUED, RUNNING
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo

LABEL = "ml-intern-run"
IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
"""The default image. It contains Python and uv."""
MIN_LIMIT_S = 60.0
MAX_LIMIT_S = 14 * 24 * 3600.0
LATE_LIST_S = 2.0
LAST_LOG_SECONDS = 5.0
"""How long each poll of an ended job waits for the rest of its log."""
LOG_PATIENCE_S = 60.0
"""How long after its end a job's log may stay incomplete before it is given up."""
_NAME = re.compile(r"[^A-Za-z0-9_-]")
_EXIT = re.compile(r"exit code:? *(\d+)")
_STATES = {"SCHEDULING": QUEUED, "RUNNING": RUNNING, "COMPLETED": "succeeded", "CANCELED": "cancelled"}


async def completed(plan: RunPlan, context: ToolContext) -> RunPlan:
    """Return the plan with its namespace, hardware, image and price filled in.

    Raises:
        ToolError: no token, unknown hardware, an invalid time limit, or a failed Hub request.
    """
    if not await get_hub_token():
        raise ToolError(
            "Hugging Face Jobs need a token and none is set; the user has to set HF_TOKEN or run `hf auth login`"
        )
    if not MIN_LIMIT_S <= plan.limit_s <= MAX_LIMIT_S:
        raise ToolError(f"{plan.limit_s:g} s is not a valid time limit for a job; use one minute to 14 days")
    machine = await hardware_of(plan.hardware or DEFAULT)
    price = machine.usd_per_minute
    return replace(
        plan,
        namespace=plan.namespace or await token_owner(context),
        hardware=machine.name,
        image=plan.image or IMAGE,
        usd_per_hour=None if price is None else price * 60,
    )


def command_of(plan: RunPlan) -> tuple[str, ...]:
    """Return the command of the job, with a script packed into it. Raises ToolError when the script is too large."""
    if not plan.script:
        return plan.command
    name = plan.script_path.name if plan.script_path else "script.py"
    return delivered({name: plan.script.encode()}, ("uv", "run", name, *plan.script_args))


def job_arguments(plan: RunPlan) -> dict[str, Any]:
    """Return the library's arguments for a job, started now or by a schedule. It blocks. Raises ToolError."""
    return {
        "image": plan.image or IMAGE,
        "command": list(command_of(plan)),
        "env": {"PYTHONUNBUFFERED": "1", **plan.environment},
        "secrets": {name: secret_value(name) for name in plan.secrets} or None,
        "flavor": plan.hardware or DEFAULT,
        "timeout": int(plan.limit_s),
        "name": _NAME.sub("-", plan.name or plan.display)[:60].strip("-") or None,
        "namespace": plan.namespace,
    }


class HubJobs:
    """Executes runs as jobs. A handle is {"job_id", "namespace"}."""

    def __init__(self) -> None:
        self._followers = LogFollowers()
        self._ended: dict[str, float] = {}
        """When each job was first seen as ended, by handle (monotonic clock)."""

    async def complete(self, plan: RunPlan, context: ToolContext, /) -> RunPlan:
        """Fill in the namespace, hardware, image and price. Raises ToolError as `completed` does."""
        return await completed(plan, context)

    async def effects(self, plan: RunPlan, context: ToolContext, /) -> ExternalEffects:
        """Return the namespace that runs and pays for the job, its maximum price and its secrets. Raises ToolError."""
        whole = await completed(plan, context)
        await token_owner(context)
        return ExternalEffects((f"{whole.namespace}/jobs",), cost_usd=whole.max_usd, secrets=whole.secrets)

    async def launch(self, plan: RunPlan, id: str, context: ToolContext) -> str:
        """Start the job, unless one with this label exists, and return its handle.

        Raises:
            ToolError: the Hub refused the job; it did not start.
            TemporaryError: the Hub did not answer, or several jobs have this label; the job may have started. Use
                `find` to check.
        """
        plan = await completed(plan, context)
        arguments = await asyncio.to_thread(job_arguments, plan)
        try:
            if handle := await self._labelled(id, (str(plan.namespace),)):
                return handle
            job = await call_hub(lambda api: api.run_job(**arguments, labels={LABEL: id}), "the job")
        except (Unavailable, TooManyRequests, AmbiguousJob) as error:
            raise TemporaryError(f"the job may have started: {error}", "resume the thread to check") from error
        return _handle(job)

    async def find(self, id: str) -> str | None:
        """Return the handle of the job with this label in the namespaces of the token's owner; None without one.

        Raises TemporaryError when the Hub does not answer, or several jobs have the label.
        """
        try:
            return await self._labelled(id, await call_hub(_namespaces, "the account"))
        except ToolError as error:
            raise TemporaryError(f"cannot determine whether job {id} started: {error}", "try again later") from error

    async def _labelled(self, id: str, namespaces: tuple[str, ...]) -> str | None:
        found = await call_hub(lambda api: labelled_job(api, LABEL, id, namespaces), "the list of jobs")
        return _handle(found) if found else None

    async def abandon(self, id: str) -> bool:
        """Whether no job with this label exists. Checks again after a delay, because the list may lag a launch."""
        for pause in (LATE_LIST_S, 0.0):
            if await self.find(id) is not None:
                return False
            await asyncio.sleep(pause)
        return True

    async def inspect(self, handle: str) -> RunStatus:
        """Return the status of the job and its cost so far."""
        where = json.loads(handle)
        try:
            job = await call_hub(lambda api: job_with_id(api, **where), f"the job {where['job_id']}")
            price = (await all_hardware()).get(str(job.flavor and getattr(job.flavor, "value", job.flavor)))
        except NotFound:
            self._ended.setdefault(handle, time.monotonic())
            return RunStatus("lost", reason="the job no longer exists on the Hub", cost_usd=None)
        except ToolError as error:
            raise TemporaryError(
                f"the status of job {where['job_id']} is not available: {error}", "try again later"
            ) from error
        observed = status_of(job, price.usd_per_minute if price else None)
        if observed.state not in (QUEUED, RUNNING):
            self._ended.setdefault(handle, time.monotonic())
        return observed

    async def fetch_log(self, handle: str, log: Path) -> None:
        """Keep copying the log. For an ended job, wait until the copy is complete.

        The rest of the log is given up LOG_PATIENCE_S after the end of the job.

        Raises:
            TemporaryError: the log is not available now.
        """
        ended = self._ended.get(handle)
        if ended is not None and time.monotonic() - ended > LOG_PATIENCE_S:
            return
        await self._followers.follow(json.loads(handle), log, wait_s=0.0 if ended is None else LAST_LOG_SECONDS)

    async def usage(self, handle: str) -> str:
        """Return its current CPU, memory and GPU usage in one line."""
        where = json.loads(handle)
        try:
            return await call_hub(lambda api: _usage(next(iter(api.fetch_job_metrics(**where)), {})), "its use")
        except ToolError:
            return ""

    async def cancel(self, handle: str) -> None:
        """Stop the job. A job that has ended stays as it is."""
        where = json.loads(handle)
        try:
            await call_hub(lambda api: api.cancel_job(**where), f"the job {where['job_id']}")
        except NotFound:
            return
        except ToolError as error:
            if (await self.inspect(handle)).state in (QUEUED, RUNNING):
                raise TemporaryError(f"job {where['job_id']} could not be cancelled: {error}", "try again") from error


def status_of(job: Any, usd_per_minute: float | None) -> RunStatus:
    """Convert the library's JobInfo to a RunStatus."""
    stage, message = stage_of(job), job.status.message or ""
    started, finished = (when.timestamp() if when else None for when in (job.started_at, job.finished_at))
    found = _EXIT.search(message)
    code = 0 if stage == "COMPLETED" else int(found[1]) if found else None
    state = _STATES.get(stage) or _failed_state(stage, message)
    return RunStatus(state, code, message, started, finished, _cost(job, started, finished, usd_per_minute))


def _failed_state(stage: str, message: str) -> str:
    if stage == "DELETED":
        return "lost"
    return "timeout" if re.search(r"time(?:d )?-?out", message, re.IGNORECASE) else "failed"


def _cost(job: Any, started: float | None, finished: float | None, usd_per_minute: float | None) -> float | None:
    """Return the cost of the running time. Time in the queue is free."""
    if started is None:
        return 0.0
    ran = job.durations.running_secs if job.durations else None
    seconds = finished - started if finished is not None else ran
    return None if usd_per_minute is None or seconds is None else max(seconds, 0.0) * usd_per_minute / 60


def _usage(sample: Mapping[str, Any]) -> str:
    if not sample:
        return ""
    gigabyte = 1e9
    memory = f"{sample['memory_used_bytes'] / gigabyte:.1f} of {sample['memory_total_bytes'] / gigabyte:.1f} GB"
    cards = [
        f"GPU {card['utilization']} %, {card['memory_used_bytes'] / gigabyte:.1f} of "
        f"{card['memory_total_bytes'] / gigabyte:.1f} GB"
        for card in sample.get("gpus", {}).values()
    ]
    return "; ".join([f"CPU {sample['cpu_usage_pct']} %", f"memory {memory}", *cards])


def _handle(job: "JobInfo") -> str:
    return json.dumps({"job_id": job.id, "namespace": job.owner.name})


def _namespaces(api: "HfApi") -> tuple[str, ...]:
    account = api.whoami()
    return (account["name"], *(org["name"] for org in account.get("orgs", [])))


MAX_CHARACTERS = 120_000
"""Maximum length of one argument. The Linux kernel accepts 131,072 bytes."""
SHELL = "/bin/sh"
_UNPACK = (
    'd=$(mktemp -d) && printf %s "$1" | base64 -d | tar -xzf - -C "$d" && cd "$d" && shift && '
    '{ [ "$1" != uv ] || command -v uv >/dev/null || pip install -q uv; } && exec "$@"'
)
"""Unpacks the files into a new folder and runs the command there. Installs uv when it is needed and missing."""


def delivered(files: Mapping[str, bytes], command: Sequence[str]) -> tuple[str, ...]:
    """Return a command that unpacks `files` (relative path -> content) into a folder and runs `command` there.

    Raises:
        ToolError: the packed files are too large for a command.
    """
    if not files:
        return tuple(command)
    packed = base64.b64encode(_packed(files)).decode()
    if len(packed) > MAX_CHARACTERS:
        size = sum(map(len, files.values()))
        raise ToolError(
            f"{', '.join(files)} ({plural(size, 'byte')}, {plural(len(packed), 'character')} when packed) is too large "
            f"for a job's command of at most {MAX_CHARACTERS:,}; upload data to a private dataset repository "
            "(hub_repos, operation upload) and load it from there in the script"
        )
    return (SHELL, "-c", _UNPACK, "ml-intern", packed, *command)


def _packed(files: Mapping[str, bytes]) -> bytes:
    """Return a tar.gz archive that is identical for identical files."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)
