"""The server inside a sandbox of the fake Hub: commands really run, in the folder of the sandbox's job.

A job with the sandbox label gets no server program; these routes stand for it. Its disk is the job's folder: a path
below WORKSPACE names what lies there.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.fakes.hub.accounts import refusal
from tests.fakes.hub.repositories import word

if TYPE_CHECKING:
    from tests.fakes.hub.jobs import Job
    from tests.fakes.hub.server import FakeHub

PORT = 49983
SHELL = "/bin/sh"
WORKSPACE = "/workspace"
PROTOCOL = 3


def is_sandbox(spec: dict[str, Any]) -> bool:
    """Whether a job's specification is that of a sandbox."""
    return (spec.get("labels") or {}).get("hf-sandbox") == "1"


def address(hub: "FakeHub", job: "Job") -> str:
    """Where its server answers."""
    return f"{hub.url}/sandboxes/{job.id}--{PORT}.jobs"


def _sandbox(hub: "FakeHub", request: Request) -> "tuple[Job, Path]":
    job = hub.jobs.found.get(word(request, "id").partition("--")[0])
    hub.writer(request, job.namespace if job else "")
    if job is None or job.stage != "RUNNING":
        raise refusal(502, "no server answers there")
    if request.headers.get("x-sandbox-token") != job.spec["secrets"]["SBX_TOKEN"]:
        raise refusal(401, "wrong sandbox token")
    return job, hub.jobs.folder / job.id


def _place(folder: Path, path: str) -> Path:
    inside = path.removeprefix(WORKSPACE) if path.startswith(WORKSPACE) else path
    return folder / "workspace" / inside.lstrip("/")


async def health(hub: "FakeHub", request: Request) -> Response:
    _sandbox(hub, request)
    return JSONResponse({"protocol": PROTOCOL, "version": "0"})


def _started(hub: "FakeHub", job: "Job", folder: Path, body: dict[str, Any], **choices: Any) -> subprocess.Popen[bytes]:
    home = folder / "workspace"
    home.mkdir(exist_ok=True)
    cmd = body["cmd"]
    words = [SHELL, "-c", cmd] if isinstance(cmd, str) else cmd
    return subprocess.Popen(
        [one.replace(WORKSPACE, str(home)) for one in words],
        cwd=_place(folder, body.get("cwd") or "/"),
        env={**hub.jobs.environment(job, home, {}), **(body.get("env") or {})},
        start_new_session=True,
        **choices,
    )


async def execute(hub: "FakeHub", request: Request) -> Response:
    job, folder = _sandbox(hub, request)
    body = await request.json()
    try:
        process = _started(hub, job, folder, body, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        raise refusal(400, str(error)) from error
    hub.jobs.processes.setdefault(job.id, {})[uuid4().hex] = (process, body)
    return StreamingResponse(_events(process, body.get("timeout")), media_type="application/x-ndjson")


def _events(process: subprocess.Popen[bytes], seconds: float | None) -> Iterator[bytes]:
    timed_out = False
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        timed_out = True
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    yield json.dumps({"event": "stdout", "data": output.decode("utf-8", "replace")}).encode() + b"\n"
    end = {"event": "exit", "exit_code": process.returncode, "timed_out": timed_out, "duration_ms": 1}
    yield json.dumps(end).encode() + b"\n"


async def start_process(hub: "FakeHub", request: Request) -> Response:
    job, folder = _sandbox(hub, request)
    body = await request.json()
    process = _started(hub, job, folder, body, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    id = uuid4().hex
    hub.jobs.processes.setdefault(job.id, {})[id] = (process, body)
    return JSONResponse({"id": id, "pid": process.pid})


async def processes(hub: "FakeHub", request: Request) -> Response:
    job, _ = _sandbox(hub, request)
    return JSONResponse(
        [
            {"id": id, "pid": one.pid, "cmd": body["cmd"], "running": one.poll() is None, "exit_code": one.poll()}
            for id, (one, body) in hub.jobs.processes.get(job.id, {}).items()
        ]
    )


async def end_process(hub: "FakeHub", request: Request) -> Response:
    job, _ = _sandbox(hub, request)
    process, _ = hub.jobs.processes[job.id][word(request, "process")]
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return JSONResponse({"killed": alive})


def _found(hub: "FakeHub", request: Request) -> Path:
    place = _place(_sandbox(hub, request)[1], request.query_params["path"])
    if not place.exists():
        raise refusal(404, f"{request.query_params['path']}: not found")
    return place


def _entry(place: Path, path: str) -> dict[str, Any]:
    kind = "dir" if place.is_dir() else "file"
    return {"name": place.name, "path": path, "type": kind, "size": place.stat().st_size, "mode": "644"}


async def stat(hub: "FakeHub", request: Request) -> Response:
    return JSONResponse(_entry(_found(hub, request), request.query_params["path"]))


async def list_files(hub: "FakeHub", request: Request) -> Response:
    place, path = _found(hub, request), request.query_params["path"].rstrip("/")
    return JSONResponse({"entries": [_entry(one, f"{path}/{one.name}") for one in sorted(place.iterdir())]})


async def read(hub: "FakeHub", request: Request) -> Response:
    content = _found(hub, request).read_bytes()
    offset = int(request.query_params.get("offset", 0))
    return Response(content[offset : offset + int(request.query_params.get("length", len(content)))])


async def write(hub: "FakeHub", request: Request) -> Response:
    place = _place(_sandbox(hub, request)[1], request.query_params["path"])
    place.parent.mkdir(parents=True, exist_ok=True)
    content, offset = await request.body(), request.query_params.get("offset")
    if offset is None:
        place.write_bytes(content)
    else:
        place.touch()
        with place.open("r+b") as file:
            file.seek(int(offset))
            file.write(content)
            if end := request.query_params.get("truncate_to"):
                file.truncate(int(end))
    return JSONResponse({})


async def delete(hub: "FakeHub", request: Request) -> Response:
    place = _found(hub, request)
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    return JSONResponse({})


async def make_folder(hub: "FakeHub", request: Request) -> Response:
    _place(_sandbox(hub, request)[1], request.query_params["path"]).mkdir(parents=True, exist_ok=True)
    return JSONResponse({})


ROUTES = [
    ("GET", "/sandboxes/{id}/health", health),
    ("POST", "/sandboxes/{id}/v1/exec", execute),
    ("POST", "/sandboxes/{id}/v1/processes", start_process),
    ("GET", "/sandboxes/{id}/v1/processes", processes),
    ("DELETE", "/sandboxes/{id}/v1/processes/{process}", end_process),
    ("GET", "/sandboxes/{id}/v1/files/stat", stat),
    ("GET", "/sandboxes/{id}/v1/files/list", list_files),
    ("GET", "/sandboxes/{id}/v1/files/read", read),
    ("PUT", "/sandboxes/{id}/v1/files/write", write),
    ("DELETE", "/sandboxes/{id}/v1/files/delete", delete),
    ("POST", "/sandboxes/{id}/v1/files/mkdir", make_folder),
]
