"""The client of a Ray cluster: jobs and packages by the REST API of its dashboard."""

import asyncio
import base64
import hashlib
import io
import json
import shlex
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ml_intern.configs.errors import TemporaryError
from ml_intern.configs.settings import ComputeTarget
from ml_intern.execution.call import ToolError
from ml_intern.net.service import NotFound, TooManyRequests, Unavailable, open_service
from ml_intern.runs.remote.far_side.ray import FAR_SIDE
from ml_intern.runs.remote.far_side.serve import MARK
from ml_intern.runs.remote.far_side_file import far_side_file
from ml_intern.text.visible import visible

MAX_PACKAGE_BYTES = 200 << 20
MAX_ANSWER_BYTES = 64 << 20
CALL_SECONDS = 120.0
POLL_SECONDS = 0.2
STOP_SECONDS = 20
"""How long Ray waits for the supervisor of a stopped run, which ends everything that the run started."""
FINAL = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_MOMENT = (1980, 1, 1, 0, 0, 0)
_SMALL_SHARE = 0.001


@dataclass(frozen=True)
class JobRequest:
    """A job to submit: its id, the words of its command, the files it gets, GPUs, and the address of its node."""

    id: str
    words: Sequence[str]
    files: Mapping[str, Path | bytes]
    gpus: float = 0.0
    node: str = ""
    kind: str = "run"


class RayCluster:
    """One cluster. Methods raise TemporaryError when it does not answer, and ToolError when it refuses."""

    def __init__(self, name: str, target: ComputeTarget) -> None:
        self.name, self.target = name, target

    async def job(self, id: str) -> dict[str, Any] | None:
        """Return what Ray knows about a job; None without one of that id."""
        try:
            found: dict[str, Any] = await self._ask(lambda service: service.get_json(f"/api/jobs/{id}"))
        except NotFound:
            return None
        return found

    async def ended(self, id: str) -> dict[str, Any] | None:
        """Wait for the end of a job and return what Ray knows about it; None without one of that id."""
        while (job := await self.job(id)) is not None and job["status"] not in FINAL:  # noqa: ASYNC110 asked by HTTP
            await asyncio.sleep(POLL_SECONDS)
        return job

    async def log(self, id: str) -> bytes:
        """Return the whole output of a job; empty when it is not there. Raises TooLarge when Ray sends too much."""
        try:
            return str((await self._ask(lambda service: service.get_json(f"/api/jobs/{id}/logs")))["logs"]).encode()
        except NotFound:
            return b""

    async def stop(self, id: str) -> None:
        """Stop a job. One that has ended or does not exist stays as it is."""
        try:
            await self._ask(lambda service: service.post_json(f"/api/jobs/{id}/stop", {}))
        except NotFound:
            return

    async def submit(self, request: JobRequest) -> bool:
        """Submit a job. Return False when a job of that id exists, which is then left as it is."""
        name = await self._upload(request.files)
        body = {
            "submission_id": request.id,
            "entrypoint": shlex.join(request.words),
            "metadata": {"ml-intern": request.kind},
            "runtime_env": {
                "working_dir": f"gcs://{name}",
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
            },
            "entrypoint_num_gpus": request.gpus or None,
            "entrypoint_resources": {f"node:{request.node}": _SMALL_SHARE} if request.node else None,
        }
        try:
            await self._ask(lambda service: service.post_json("/api/jobs/", body))
        except TemporaryError:
            if await self.job(request.id) is None:
                raise
            return False
        return True

    async def call(self, operation: str, order: Mapping[str, Any], /, node: str = "") -> dict[str, Any]:
        """Perform an operation of the far side in a job on a node, and return its answer."""
        id = f"ml-intern-{operation}-{uuid.uuid4().hex[:12]}"
        packed = base64.b64encode(json.dumps(order).encode()).decode()
        words = ["python3", FAR_SIDE, "ray-call", self.target.workdir, operation, packed]
        await self.submit(JobRequest(id, words, {FAR_SIDE: far_side_file()}, node=node, kind="call"))
        try:
            async with asyncio.timeout(CALL_SECONDS):
                job = await self.ended(id)
            output = await self.log(id)
        except TimeoutError:
            await self.stop(id)
            raise TemporaryError(f"{self.name} did not start a job within {CALL_SECONDS:.0f} s", "try again") from None
        found = output.rpartition(f"\n{MARK}".encode())
        if not found[1]:
            last = visible((job or {}).get("message") or output.decode(errors="replace").strip())[-300:]
            raise ToolError(f"{self.name} failed: {last or 'the job printed nothing'}")
        await self._ask(lambda service: service.delete(f"/api/jobs/{id}"))
        answer: dict[str, Any] = json.loads(found[2].split(b"\n")[0])
        if problem := answer.get("error"):
            raise ToolError(f"{self.name}: {visible(str(problem))}")
        return answer

    async def _upload(self, files: Mapping[str, Path | bytes]) -> str:
        """Upload a package of these files unless the cluster has it, and return its name."""
        package = await asyncio.to_thread(_packed, files)
        name = f"_ray_pkg_{hashlib.sha256(package).hexdigest()[:16]}.zip"
        path = f"/api/packages/gcs/{name}"
        try:
            await self._ask(lambda service: service.get(path))
        except NotFound:
            await self._ask(lambda service: service.put(path, package))
        return name

    async def _ask(self, request: Any) -> Any:
        try:
            async with open_service(self.name, self.target.address, max_bytes=MAX_ANSWER_BYTES) as service:
                return await request(service)
        except (Unavailable, TooManyRequests) as error:
            raise TemporaryError(
                f"{self.name} does not answer: {error}", f"check it with `ml-intern compute test {self.name}`"
            ) from error


def node_of(job: Mapping[str, Any]) -> str:
    """Return the address of the node that executes a job; "" before it has one."""
    return urlsplit(str(job.get("driver_agent_http_address") or "")).hostname or ""


def _packed(files: Mapping[str, Path | bytes]) -> bytes:
    """Return a zip archive that is identical for identical files. Raises ToolError when it is too large."""
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        for name, content in sorted(files.items()):
            whole = content if isinstance(content, bytes) else content.read_bytes()
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), whole, zipfile.ZIP_DEFLATED)
            if plain.tell() > MAX_PACKAGE_BYTES:
                raise ToolError(
                    f"the working folder is too large for Ray (at most {MAX_PACKAGE_BYTES >> 20} MB packed); list data "
                    "in .gitignore, and pass it by a path on the cluster or as a dataset id"
                )
    return plain.getvalue()
