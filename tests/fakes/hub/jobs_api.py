"""Routes of the jobs API: hardware, jobs with logs and metrics, schedules."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.fakes.hub import sandboxes
from tests.fakes.hub.accounts import refusal
from tests.fakes.hub.jobs import HARDWARE, Job
from tests.fakes.hub.repositories import moment, word

if TYPE_CHECKING:
    from tests.fakes.hub.server import FakeHub

KEEP_ALIVE_SECONDS = 30.0
PAGE = 100


def _hardware(name: str, cpu: str, ram: str, card: tuple[str, str, str] | None, micro: int) -> dict[str, Any]:
    found = {
        "name": name,
        "prettyName": name.replace("-", " "),
        "cpu": cpu,
        "ram": ram,
        "ephemeralStorage": "50 GB",
        "unitCostMicroUSD": micro,
        "unitCostUSD": micro / 1e6,
        "unitLabel": "minute",
    }
    if card:
        found["accelerator"] = {
            "type": "gpu", "model": card[0], "quantity": card[1], "vram": card[2], "manufacturer": "Nvidia"
        }  # fmt: skip
    return found


def told(hub: "FakeHub", job: Job) -> dict[str, Any]:
    """A job as the Hub describes it; of secrets only the names."""
    spec, end = job.spec, job.finished or datetime.now(UTC)
    return {
        "id": job.id,
        "createdAt": moment(job.created),
        "startedAt": moment(job.started) if job.started else None,
        "finishedAt": moment(job.finished) if job.finished else None,
        "dockerImage": spec.get("dockerImage"),
        "spaceId": spec.get("spaceId"),
        "command": spec.get("command"),
        "arguments": spec.get("arguments"),
        "environment": spec.get("environment") or {},
        "secrets": dict.fromkeys(spec.get("secrets") or {}, ""),
        "flavor": spec.get("flavor"),
        "labels": spec.get("labels") or {},
        "volumes": spec.get("volumes"),
        "timeout": spec.get("timeoutSeconds"),
        "status": {
            "stage": job.stage,
            "message": job.message,
            "exposeUrls": [sandboxes.address(hub, job)] if sandboxes.is_sandbox(spec) else None,
        },
        "durations": {
            "schedulingSecs": int(((job.started or end) - job.created).total_seconds()),
            "runningSecs": int((end - job.started).total_seconds()) if job.started else None,
            "totalSecs": int((end - job.created).total_seconds()),
        },
        "owner": {"id": "1" * 24, "name": job.namespace, "type": "user"},
        "initiator": {"type": "user", "id": "1" * 24, "name": job.namespace},
    }


def _job(hub: "FakeHub", request: Request) -> Job:
    hub.writer(request, word(request, "ns"))
    job = hub.jobs.found.get(word(request, "id"))
    if job is None or job.namespace.lower() != word(request, "ns").lower():
        raise refusal(404, "Job not found")
    return job


def _checked(hub: "FakeHub", request: Request, spec: dict[str, Any]) -> dict[str, Any]:
    account = hub.writer(request, word(request, "ns"))
    if not account.can_pay:
        raise refusal(402, "Pre-paid credit balance is insufficient - add more credits to your account to use Jobs.")
    if spec.get("flavor") not in {row[0] for row in HARDWARE}:
        raise refusal(400, f"Invalid flavor: {spec.get('flavor')}")
    if not spec.get("dockerImage") and not spec.get("spaceId"):
        raise refusal(400, "dockerImage or spaceId is required")
    return spec


async def hardware(hub: "FakeHub", request: Request) -> Response:
    return JSONResponse([_hardware(*row) for row in HARDWARE])


async def run(hub: "FakeHub", request: Request) -> Response:
    spec = _checked(hub, request, await request.json())
    return JSONResponse(told(hub, hub.jobs.start(word(request, "ns"), spec)))


async def listed(hub: "FakeHub", request: Request) -> Response:
    hub.writer(request, word(request, "ns"))
    query, found = (
        request.query_params,
        [one for one in hub.jobs.found.values() if one.namespace == word(request, "ns")],
    )
    if stages := query.getlist("stage"):
        found = [one for one in found if one.stage in stages]
    for label in query.getlist("label") if hub.jobs.filters_labels else ():
        name, _, value = label.partition("=")
        found = [one for one in found if (one.spec.get("labels") or {}).get(name) == value]
    found.sort(key=lambda one: one.created, reverse=True)
    start = int(query.get("cursor", 0))
    more = {"Link": f'<{request.url.include_query_params(cursor=start + PAGE)}>; rel="next"'}
    page = [told(hub, one) for one in found[start : start + PAGE]]
    return JSONResponse(page, headers=more if start + PAGE < len(found) else {})


async def inspect(hub: "FakeHub", request: Request) -> Response:
    return JSONResponse(told(hub, _job(hub, request)))


async def cancel(hub: "FakeHub", request: Request) -> Response:
    job = _job(hub, request)
    hub.jobs.cancel(job)
    return JSONResponse(told(hub, job))


async def labels(hub: "FakeHub", request: Request) -> Response:
    job = _job(hub, request)
    job.spec["labels"] = (await request.json())["labels"]
    return JSONResponse(told(hub, job))


async def logs(hub: "FakeHub", request: Request) -> Response:
    job, tail = _job(hub, request), request.query_params.get("tail")
    start = max(len(job.lines) - int(tail), 0) if tail else 0
    cut = hub.jobs.cut_logs_after.pop(0) if hub.jobs.cut_logs_after else None
    return StreamingResponse(_log_events(job, start, cut), media_type="text/event-stream")


def _log_events(job: Job, index: int, cut: int | None) -> Iterator[bytes]:
    sent = 0
    while True:
        lines = job.lines_from(index, KEEP_ALIVE_SECONDS)
        for line in lines:
            if sent == cut:
                raise ConnectionAbortedError
            yield b"data: " + json.dumps(line.event(), ensure_ascii=False).encode() + b"\n\n"
            sent += 1
        index += len(lines)
        if job.ended and index == len(job.lines):
            return
        if not lines:
            yield b": keep-alive\n\n"


async def metrics(hub: "FakeHub", request: Request) -> Response:
    job = _job(hub, request)
    if job.stage != "RUNNING":
        return Response("", 406)
    return StreamingResponse(_metric_events(job), media_type="text/event-stream")


def _metric_events(job: Job) -> Iterator[bytes]:
    while not job.ended:
        known = {"cpu_usage_pct": round(os.getloadavg()[0]), "cpu_millicores": 2000, "memory_used_bytes": 1 << 20}
        sample = {**known, "memory_total_bytes": 1 << 34, "rx_bps": 0, "tx_bps": 0, "gpus": {}, "replica": "one"}
        yield b"event: metric\ndata: " + json.dumps(sample).encode() + b"\n\n"
        with job.changed:
            job.changed.wait_for(lambda: job.ended, 0.2)


def _schedule(hub: "FakeHub", request: Request) -> dict[str, Any]:
    hub.writer(request, word(request, "ns"))
    found = hub.jobs.scheduled.get(word(request, "id"))
    if found is None or found["owner"]["name"] != word(request, "ns"):
        raise refusal(404, "Scheduled job not found")
    return found


async def schedule(hub: "FakeHub", request: Request) -> Response:
    body, namespace = await request.json(), word(request, "ns")
    spec = _checked(hub, request, body["jobSpec"])
    found = {
        "id": uuid4().hex[:24],
        "createdAt": moment(datetime.now(UTC)),
        "jobSpec": {**spec, "timeout": spec.get("timeoutSeconds")},
        "schedule": body["schedule"],
        "suspend": bool(body.get("suspend")),
        "concurrency": bool(body.get("concurrency")),
        "status": {"lastJob": None, "nextJobRunAt": moment(datetime.now(UTC))},
        "owner": {"id": "1" * 24, "name": namespace, "type": "user"},
    }
    hub.jobs.scheduled[found["id"]] = found
    return JSONResponse(found)


async def list_schedules(hub: "FakeHub", request: Request) -> Response:
    hub.writer(request, word(request, "ns"))
    return JSONResponse([one for one in hub.jobs.scheduled.values() if one["owner"]["name"] == word(request, "ns")])


async def one_schedule(hub: "FakeHub", request: Request) -> Response:
    return JSONResponse(_schedule(hub, request))


async def drop_schedule(hub: "FakeHub", request: Request) -> Response:
    hub.jobs.scheduled.pop(_schedule(hub, request)["id"])
    return Response("OK")


async def change_schedule(hub: "FakeHub", request: Request) -> Response:
    found = _schedule(hub, request)
    match word(request, "verb"):
        case "suspend":
            found["suspend"] = True
        case "resume":
            found["suspend"] = False
        case "run":
            job = hub.jobs.start(found["owner"]["name"], dict(found["jobSpec"]))
            found["status"]["lastJob"] = {"id": job.id, "at": moment(job.created)}
            return JSONResponse(told(hub, job))
        case other:
            raise refusal(404, f"no {other}")
    return JSONResponse(found)


ROUTES = [
    ("GET", "/api/jobs/hardware", hardware),
    ("POST", "/api/jobs/{ns}", run),
    ("GET", "/api/jobs/{ns}", listed),
    ("GET", "/api/jobs/{ns}/{id}", inspect),
    ("POST", "/api/jobs/{ns}/{id}/cancel", cancel),
    ("PUT", "/api/jobs/{ns}/{id}/labels", labels),
    ("GET", "/api/jobs/{ns}/{id}/logs", logs),
    ("GET", "/api/jobs/{ns}/{id}/metrics", metrics),
    ("POST", "/api/scheduled-jobs/{ns}", schedule),
    ("GET", "/api/scheduled-jobs/{ns}", list_schedules),
    ("GET", "/api/scheduled-jobs/{ns}/{id}", one_schedule),
    ("DELETE", "/api/scheduled-jobs/{ns}/{id}", drop_schedule),
    ("POST", "/api/scheduled-jobs/{ns}/{id}/{verb}", change_schedule),
]
