"""Runs on a real Ray cluster of this machine. `make test-ray` installs Ray in an environment of its own."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.errors import TemporaryError
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.registry import backend_of
from ml_intern.runs.poll import poll
from ml_intern.runs.ray import cluster as cluster_client
from ml_intern.runs.ray.jobs import LOG_CUT
from tests.execution.conftest import Bench, alive, until
from tests.runs.remote.conftest import RemoteBench, check_that_everything_ends

RAY = os.environ.get("TESTS_RAY", "")
"""The program `ray`, or the address of a cluster of this machine that is running."""
START_SECONDS = 100
"""Ray's 16 processes and the first job take a while on two busy cores."""
STOP_SECONDS = 30
pytestmark = pytest.mark.timeout(2 * START_SECONDS + STOP_SECONDS)


def free_port() -> int:
    with closing(socket.socket()) as channel:
        channel.bind(("127.0.0.1", 0))
        return int(channel.getsockname()[1])


def await_answer(address: str, head: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=START_SECONDS).close()
        except OSError:
            if time.monotonic() > deadline or head.poll() is not None:
                raise
            time.sleep(0.1)
        else:
            return


def await_first_job(address: str) -> None:
    """Run a job, for which the cluster starts what all later jobs use."""
    words = json.dumps({"entrypoint": "true"}).encode()
    job = urllib.request.Request(f"{address}/api/jobs/", words, {"Content-Type": "application/json"})
    with urllib.request.urlopen(job, timeout=START_SECONDS) as answer:
        name = json.load(answer)["submission_id"]
    deadline = time.monotonic() + START_SECONDS
    state = ""
    while state not in ("SUCCEEDED", "FAILED"):
        assert time.monotonic() < deadline, f"the first job is {state}"
        time.sleep(0.5)
        with urllib.request.urlopen(f"{address}/api/jobs/{name}", timeout=START_SECONDS) as answer:
            state = json.load(answer)["status"]
    assert state == "SUCCEEDED"


def end_cluster(head: subprocess.Popen[bytes], folder: str) -> None:
    """End a cluster, and after a while every process of it, which names its folder."""
    head.send_signal(signal.SIGTERM)
    try:
        head.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        head.kill()
        head.wait()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder.encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)
        except OSError:  # it has ended
            continue


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a cluster of one node."""
    if not RAY:
        pytest.skip("needs Ray: `make test-ray`")
    if RAY.startswith("http:"):
        yield RAY
        return
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        command = [
            RAY, "start", "--head", "--block", f"--port={free_port()}", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={port}", "--min-worker-port=30000", "--max-worker-port=30999", "--num-cpus=4",
            f"--dashboard-agent-listen-port={free_port()}", f"--temp-dir={folder}",
            "--object-store-memory=100000000", "--disable-usage-stats",
        ]  # fmt: skip
        # Below `uv run`, Ray would start its workers by `uv run`, in a copy of this folder, where Ray is missing.
        environment = {**os.environ, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
        with (Path(folder) / "head.txt").open("wb") as output:
            head = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
        try:
            await_answer(f"{address}/api/jobs/", head)
            await_first_job(address)
            yield address
        finally:
            end_cluster(head, folder)


@pytest.fixture
async def box(bench: Bench, cluster: str, tmp_path: Path) -> RemoteBench:
    found = RemoteBench(bench.store, bench.workspace, bench.services)
    found.calls = uuid.uuid4().int >> 64  # ids of runs differ between tests, as those of threads do
    found.patience = START_SECONDS
    found.target = {"kind": "ray", "address": cluster, "workdir": str(tmp_path / "there")}
    return found


async def test_a_run_gets_the_workspace_and_its_files_come_back(box: RemoteBench) -> None:
    box.file("data.txt", "7")
    box.file("train.py", "print('loss=0.5')\nopen('out.txt', 'w').write(open('data.txt').read() * 2)\n")
    row = await box.ended(await box.started(script="train.py"))
    assert (row.state, row.exit_code) == ("succeeded", 0), row.reason + row.tail
    assert json.loads(row.metrics) == {"loss": 0.5}
    fetched = await box.jobs(operation="fetch", run=row.id, outputs=["out.txt"])
    assert fetched.ok, fetched.text
    assert (box.workspace / "outputs" / row.id / "out.txt").read_text() == "77"
    failed = await box.ended(await box.started(command="echo no; exit 3"))
    assert (failed.state, failed.exit_code, failed.tail) == ("failed", 3, "no\n")


async def test_a_second_start_starts_nothing_and_an_abandoned_run_never_starts(box: RemoteBench) -> None:
    place = box.workspace / "starts"
    row = await box.started(command=f"echo started >> {place}; sleep 600")
    backend, context = backend_of("ray", box.store), box.context()
    plan = RunPlan("ray", "other", box.workspace, ("bash", "-c", f"echo again >> {place}"), target="box", limit_s=60)
    await asyncio.gather(*(backend.launch(plan, row.id, context) for _ in range(3)))
    await until(place.exists, START_SECONDS)
    assert not await backend.abandon(row.id)
    folder = box.store.home / "runs" / "run-2"
    folder.mkdir()
    (folder / "target.json").write_text(json.dumps({**json.loads(row.handle or ""), "id": "run-2"}))
    assert await backend.find("run-2") is None
    assert await backend.abandon("run-2")
    assert (await backend.inspect(await backend.launch(plan, "run-2", context))).reason == "it was never started"
    await backend.cancel(row.handle or "")
    assert place.read_text() == "started\n"


async def test_a_run_whose_log_is_too_large_ends_and_its_log_says_so_once(
    box: RemoteBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_client, "MAX_ANSWER_BYTES", 100_000)
    row = await box.ended(await box.started(command="seq 1000000"))
    assert (row.state, row.exit_code) == ("succeeded", 0)
    await backend_of("ray", box.store).fetch_log(row.handle or "", Path(row.log))
    assert Path(row.log).read_text().count(LOG_CUT) == 1


async def test_cancelling_and_the_time_limit_end_everything_that_a_run_started(box: RemoteBench) -> None:
    await check_that_everything_ends(box)


async def test_a_killed_supervisor_ends_its_run(box: RemoteBench) -> None:
    row = await box.started(command="echo $$ > $PWD.pid; sleep 600")
    runs = Path(box.target["workdir"]) / "runs" / row.id
    await until((runs / "work.pid").exists, START_SECONDS)
    os.kill(json.loads((runs / "status.json").read_text())["pid"], signal.SIGKILL)
    assert (await box.ended(row)).state == "failed"
    await until(lambda: not alive(int((runs / "work.pid").read_text())))


async def test_what_ray_cannot_do_is_one_line_with_the_remedy(box: RemoteBench) -> None:
    for more, problem in (
        ({"gpus": "a100:2"}, "gpus is a number"),
        ({"nodes": 2}, "leave nodes out"),
        ({"secrets": ["WANDB_API_KEY"]}, "set them on the cluster"),
    ):
        refused = await box.jobs(operation="run", target="box", command="true", **more)
        assert problem in refused.text
    box.target["address"] = f"http://127.0.0.1:{free_port()}"
    unreached = await box.jobs(operation="run", target="box", command="true")
    assert not unreached.ok
    assert "box does not answer" in unreached.text


async def test_without_the_cluster_the_state_is_known_later(box: RemoteBench) -> None:
    row = await box.started(command="echo one")
    handle: dict[str, Any] = json.loads(row.handle or "")
    handle["target"]["address"] = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TemporaryError, match="box does not answer"):
        await poll(box.store, replace(row, handle=json.dumps(handle)))
    assert (await box.ended(row)).tail == "one\n"
