"""The subcommand `jobs`, and what a headless run does with the runs it started."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_intern.store.journal import CallKey
from ml_intern.store.runs import RunRow
from ml_intern.store.store import Store
from tests.commands.conftest import Done
from tests.session.conftest import launch

Run = Callable[..., Done]


def script(place: Path, *steps: dict[str, Any]) -> str:
    (place / "script.yaml").write_text(yaml.safe_dump(list(steps)))
    return f"scripted:{place / 'script.yaml'}"


WAITS = """import os, time
while not os.path.exists("go"):
    time.sleep(0.05)
print("step 1 loss=0.25")
"""
TRAIN = "for i in 3 2 1; do echo step $i loss=0.$i; done; echo finished"


@pytest.fixture
def trained(run: Run, place: Path) -> str:
    model = script(place, launch(TRAIN), {"text": "waiting"}, {"text": "it is done"})
    done = run("-p", "go", "--no-sandbox", "-m", model)
    assert (done.code, done.out.strip()) == (0, "it is done")
    [row] = run("jobs", "list", "--json").json
    return str(row["id"])


def test_the_list_shows_state_metrics_and_command_with_a_stable_json(run: Run, trained: str) -> None:
    done = run("jobs", "list")
    assert "succeeded" in done.out
    assert "loss 0.1" in done.out
    [row] = run("jobs", "list", "--json").json
    assert sorted(row) == [
        "backend", "command", "cost_usd", "created", "exit_code", "finished", "folder", "hardware", "host", "id",
        "limit_s", "log", "metrics", "name", "notices", "notify_when", "reason", "remark", "root_id", "started",
        "state", "tail", "thread_id", "usd_per_hour",
    ]  # fmt: skip
    assert row["metrics"] == {"step": 1.0, "loss": 0.1}
    assert run("jobs", "list", "--open").out.strip() == "no runs"


def test_logs_and_wait_tell_what_it_printed_and_how_it_ended(run: Run, trained: str) -> None:
    assert run("jobs", "logs", trained, "-n", "1").out == "finished\n"
    assert run("jobs", "logs", trained[:7], "-n", "0", "-f").out.startswith("step 3 loss=0.3\n")
    assert run("jobs", "logs", trained, "--json").json["text"].endswith("finished\n")
    done = run("jobs", "wait", trained, "--json")
    assert (done.code, done.json["state"]) == (0, "succeeded")


def test_the_plot_is_a_picture_of_its_metrics(run: Run, trained: str, place: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs the extra [plot]: uv sync --extra plot")
    done = run("jobs", "plot", trained, "-o", "loss.png")
    assert done.out == "loss.png: loss\n"
    with image.open(place / "loss.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 3
    done = run("jobs", "plot", trained, "--metric", "accuracy")
    assert done.code == 2
    assert "no run has a metric 'accuracy'" in done.err
    assert run("jobs", "plot", trained, "-o", "nowhere/loss.png").code == 1


def test_unknown_runs_and_missing_names_are_one_line(run: Run, trained: str) -> None:
    done = run("jobs", "logs", "run-nope")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "no run matches" in done.err
    assert run("jobs", "cancel").code == 2
    assert run("jobs", "list", "--limit", "-5").code == 2
    assert run("jobs", "logs", trained, "-n", "-1").code == 2


def test_beyond_the_time_limit_runs_are_stopped(run: Run, place: Path) -> None:
    model = script(place, launch("echo $$ > pid; exec sleep 600"), {"text": "waiting"})
    done = run("-p", "go", "--no-sandbox", "-m", model, "--timeout", "3s")
    assert done.code == 124
    [row] = run("jobs", "list", "--json").json
    assert row["state"] == "cancelled"
    assert not Path(f"/proc/{(place / 'pid').read_text().strip()}").exists()


def test_an_ephemeral_run_leaves_none_behind(run: Run, place: Path) -> None:
    fails = {"error": {"status": 400, "message": "no"}}
    wait = {"tool_calls": [{"name": "bash", "args": {"command": "until [ -s pid ]; do sleep 0.05; done"}}]}
    model = script(place, launch("echo $$ > pid; exec sleep 600"), wait, fails)
    assert run("-p", "go", "--no-sandbox", "--ephemeral", "-m", model).code != 0
    assert not Path(f"/proc/{(place / 'pid').read_text().strip()}").exists()


def test_a_launch_that_was_cut_off_is_listed_with_what_to_do_and_can_be_stopped(run: Run, place: Path) -> None:
    async def cut_off() -> None:
        async with await Store.open(Path(os.environ["ML_INTERN_HOME"])) as store:
            await store.threads.create(id="t", title="", folder=str(place))
            await store.journal.start(CallKey("t", "m", 0), "bash", "d")
            await store.runs.add(RunRow("run-cut", "t", "train", "queued", call="t/m/0"))

    asyncio.run(cut_off())
    assert "resume the thread" in run("jobs", "list", "--json").json[0]["remark"]
    assert run("jobs", "cancel", "run-cut").out == "run-cut: cancelled\n"


def test_a_run_that_cannot_be_stopped_keeps_no_other_going(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a" * 34)
    _terminated(place, script(place, launch("exec sleep 600"), {"text": "waiting"}))
    handle = '{"job_id": "j", "namespace": "ada"}'
    job = RunRow("job-far", "t", "train", "running", backend="hub", handle=handle, log=str(place / "no.txt"))

    async def written() -> str:
        async with await Store.open(Path(os.environ["ML_INTERN_HOME"])) as store:
            await store.runs.add(job)
            return (await store.runs.unfinished())[0].id

    here = asyncio.run(written())
    done = run("jobs", "cancel", "job-far", here)
    assert done.code != 0
    assert "job-far was not stopped" in done.err
    assert {row["id"]: row["state"] for row in run("jobs", "list", "--json").json}[here] == "cancelled"


def test_a_run_without_a_record_is_listed_again_and_can_be_stopped(run: Run, place: Path) -> None:
    _terminated(place, script(place, launch("exec sleep 600"), {"text": "waiting"}))
    for part in Path(os.environ["ML_INTERN_HOME"]).glob("threads.db*"):
        part.unlink()
    [row] = run("jobs", "list", "--json").json
    assert (row["state"], row["remark"]) == ("running", "its thread was deleted")
    assert run("jobs", "cancel", "--orphans").out == f"{row['id']}: cancelled\n"


def test_a_signal_leaves_them_running_and_says_so_and_cancel_stops_them(run: Run, place: Path, tmp_path: Path) -> None:
    model = script(place, launch("echo $$ > pid; exec sleep 600"), {"text": "waiting"})
    done = _terminated(place, model)
    assert done.code == 143
    assert "1 run still running: run-" in done.err
    [row] = run("jobs", "list", "--open", "--json").json
    assert run("jobs", "cancel", row["id"]).out == f"{row['id']}: cancelled\n"
    assert not Path(f"/proc/{(place / 'pid').read_text().strip()}").exists()


def test_a_run_whose_thread_is_deleted_is_offered_for_cancelling(run: Run, place: Path) -> None:
    model = script(place, launch("exec sleep 600"), {"text": "waiting"})
    _terminated(place, model)
    [row] = run("jobs", "list", "--json").json
    assert run("threads", "delete", row["thread_id"], "--yes").code == 0
    done = run("jobs", "list")
    assert "its thread was deleted" in done.out
    assert "jobs cancel --orphans" in done.out
    assert run("jobs", "cancel", "--orphans").out == f"{row['id']}: cancelled\n"


@pytest.mark.parametrize(
    "words", [("runs", "list"), ("runs", "best", "loss"), ("runs", "compare", "train", "train"), ("jobs", "list")]
)
def test_every_view_shows_the_end_of_a_run_that_no_process_has_seen(
    run: Run, place: Path, words: tuple[str, ...]
) -> None:
    (place / "train.py").write_text(WAITS)
    call = {"operation": "run", "script": "train.py", "name": "train", "timeout": "10m"}
    model = script(place, {"tool_calls": [{"name": "jobs", "args": call}]}, {"text": "waiting"})
    _terminated(place, model)
    assert "running" in run("runs", "list").out
    (place / "go").touch()
    deadline = time.monotonic() + 30
    while "loss" not in (done := run(*words)).out and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "0.25" in done.out


def test_a_name_of_several_runs_is_the_latest_to_read_and_refused_to_cancel(run: Run, place: Path) -> None:
    async def put() -> None:
        async with await Store.open(Path(os.environ["ML_INTERN_HOME"])) as store:
            for number in (1, 2):
                (place / f"{number}.txt").write_text(f"log {number}\n")
                row = RunRow(f"run-{number}", f"t{number}", "train", "succeeded", name="same")
                await store.runs.add(replace(row, log=str(place / f"{number}.txt")))

    asyncio.run(put())
    done = run("jobs", "logs", "same")
    assert done.out == "log 2\n"
    assert "'same' names several runs: run-2 (thread t2), run-1 (thread t1); using the latest" in done.err
    done = run("jobs", "cancel", "same")
    assert (done.code, "name one by its id" in done.err) == (2, True)


def _terminated(place: Path, model: str) -> Done:
    """A headless run in a process of its own that gets SIGTERM once its run goes on."""

    async def run() -> Done:
        program = Path(sys.executable).with_name("ml-intern")
        words = ["-p", "go", "--no-sandbox", "-m", model]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(program, *words, cwd=place, stdout=pipe, stderr=pipe)
        deadline = time.monotonic() + 60
        home = Path(os.environ["ML_INTERN_HOME"])
        while not list(home.glob("runs/*/log.txt")) and time.monotonic() < deadline:  # noqa: ASYNC110 another process
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        return Done(process.returncode or 0, out.decode(), err.decode())

    return asyncio.run(run())
