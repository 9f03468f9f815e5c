"""Jobs of the Hub by the real client: delivered, found again, watched, priced, cancelled; none is launched twice."""

import asyncio
import base64
import json
import os
from typing import Any

import pytest
from huggingface_hub import HfApi

from ml_intern.configs.errors import TemporaryError
from ml_intern.execution.call import ToolError
from ml_intern.runs.backends.base import RunPlan, RunStatus
from ml_intern.runs.backends.hub_jobs import LABEL, HubJobs, completed
from tests.execution.conftest import until
from tests.fakes.hub import Account, FakeHub
from tests.fakes.hub.jobs import Job
from tests.fakes.hub.server import TOKEN
from tests.tools.hub.conftest import HubBench

SCRIPT = """# /// script
# dependencies = []
# ///
import os, pathlib, sys
print("args", sys.argv[1:], "beside", pathlib.Path("train.py").exists())
print("token", len(os.environ.get("HF_TOKEN", "")), "mode", os.environ["MODE"])
"""


class Jobs:
    """The backend on the fake Hub, with the plans a test makes."""

    def __init__(self, hub: FakeHub, desk: HubBench) -> None:
        self.hub = hub
        self.desk = desk
        self.backend = HubJobs()

    def plan(self, *command: str, **choices: Any) -> RunPlan:
        known = {"limit_s": 600.0, "hardware": "cpu-basic", "command": command}
        return RunPlan("hub", "a job", self.desk.workspace, **{**known, **choices})

    async def launch(self, *command: str, id: str = "run1", **choices: Any) -> str:
        return await self.backend.launch(self.plan(*command, **choices), id, self.desk.context())

    def job(self, handle: str) -> Job:
        return self.hub.jobs.found[json.loads(handle)["job_id"]]

    async def ended(self, handle: str) -> RunStatus:
        await asyncio.to_thread(self.job(handle).wait)
        return await self.backend.inspect(handle)

    async def log(self, handle: str, name: str = "log.txt") -> str:
        path = self.desk.workspace / name
        await self.backend.fetch_log(handle, path)
        return path.read_text()

    @property
    def launches(self) -> int:
        return sum(asked.method == "POST" and asked.path == "/api/jobs/ada" for asked in self.hub.asked)


@pytest.fixture
def jobs(hub: FakeHub, desk: HubBench) -> Jobs:
    return Jobs(hub, desk)


async def test_a_script_is_delivered_with_its_arguments_and_secrets_without_a_bucket(jobs: Jobs) -> None:
    path = jobs.desk.file("train.py", SCRIPT)
    handle = await jobs.launch(
        script=SCRIPT,
        script_path=path,
        script_args=("--lr", "2e-5"),
        environment={"MODE": "smoke test"},
        secrets=("HF_TOKEN",),
    )
    observed = await jobs.ended(handle)
    assert (observed.state, observed.exit_code) == ("succeeded", 0), jobs.job(handle).log()
    text = await jobs.log(handle)
    assert "args ['--lr', '2e-5'] beside True" in text
    assert f"token {len(TOKEN)} mode smoke test" in text
    spec = jobs.job(handle).spec
    assert spec["secrets"] == {"HF_TOKEN": TOKEN}
    assert TOKEN not in json.dumps({name: value for name, value in spec.items() if name != "secrets"})
    assert (spec["timeoutSeconds"], spec["flavor"]) == (600, "cpu-basic")
    assert not any("bucket" in asked.path for asked in jobs.hub.asked)


async def test_a_script_too_large_for_a_command_is_refused_with_the_size(jobs: Jobs) -> None:
    noise = base64.b64encode(os.urandom(150_000)).decode()
    with pytest.raises(ToolError, match=r"script\.py .* too large .* 120,000; upload data to a private dataset"):
        await jobs.launch(script=f"data = '{noise}'")
    assert jobs.launches == 0


async def test_a_job_is_found_by_its_label_and_never_launched_twice(jobs: Jobs) -> None:
    assert await jobs.backend.find("run1") is None
    handle = await jobs.launch("sleep", "60")
    again = HubJobs()
    assert await again.find("run1") == handle
    assert await again.launch(jobs.plan("sleep", "60"), "run1", jobs.desk.context()) == handle
    assert jobs.launches == 1
    await again.cancel(handle)
    assert (await jobs.ended(handle)).state == "cancelled"
    await again.cancel(handle)


async def test_a_server_that_ignores_the_label_filter_offers_no_job_of_the_user(jobs: Jobs, client: HfApi) -> None:
    jobs.hub.jobs.filters_labels = False
    client.run_job(image="x", command=["true"], namespace="ada")
    other = client.run_job(image="x", command=["true"], labels={LABEL: "run0", "name": "run1"}, namespace="ada")
    assert await jobs.backend.find("run1") is None
    handle = await jobs.launch("sleep", "60")
    assert json.loads(handle)["job_id"] != other.id
    assert await jobs.backend.find("run1") == handle
    await jobs.backend.cancel(handle)


async def test_with_two_jobs_of_one_label_neither_is_used_and_both_are_named(jobs: Jobs, client: HfApi) -> None:
    for _ in range(2):
        client.run_job(image="x", command=["sleep", "60"], labels={LABEL: "run1"}, namespace="ada")
    ids = list(jobs.hub.jobs.found)
    calls = (lambda: jobs.backend.find("run1"), lambda: jobs.launch("true"), lambda: jobs.backend.abandon("run1"))
    for call in calls:
        with pytest.raises(TemporaryError, match=f"2 jobs have the label {LABEL}=run1: {ids[1]}, {ids[0]}"):
            await call()
    assert [job.ended for job in jobs.hub.jobs.found.values()] == [False, False]


async def test_a_job_of_an_organisation_is_found_too(jobs: Jobs) -> None:
    handle = await jobs.launch("true", namespace="lab")
    assert json.loads(handle)["namespace"] == "lab"
    assert await HubJobs().find("run1") == handle


async def test_a_launch_without_an_answer_is_neither_lost_nor_repeated(jobs: Jobs) -> None:
    jobs.hub.fail("/api/jobs/ada", 503, times=10, method="POST")
    with pytest.raises(TemporaryError, match="may have started"):
        await jobs.launch("true")
    jobs.hub.clear_failures()
    assert await jobs.backend.find("run1") is None
    jobs.hub.fail("/api/jobs/ada", 503, times=10, method="GET")
    with pytest.raises(TemporaryError, match="cannot determine"):
        await jobs.backend.find("run1")


async def test_every_end_has_its_state(jobs: Jobs) -> None:
    jobs.hub.jobs.stuck.add("t4-small")
    cases: list[tuple[tuple[str, ...], dict[str, Any], tuple[str, int | None]]] = [
        (("python", "-c", "print(1)"), {}, ("succeeded", 0)),
        (("python", "-c", "raise SystemExit(7)"), {}, ("failed", 7)),
        (("no-such-program",), {}, ("failed", None)),
        (("sleep", "60"), {}, ("timeout", None)),
    ]
    handles = [await jobs.launch(*command, id=f"run{n}", **choices) for n, (command, choices, _) in enumerate(cases)]
    jobs.hub.jobs.time_out(jobs.job(handles[3]))
    for handle, (_, _, expected) in zip(handles, cases, strict=True):
        observed = await jobs.ended(handle)
        assert (observed.state, observed.exit_code) == expected
    stuck = await jobs.launch("true", id="stuck", hardware="t4-small")
    waiting = await jobs.backend.inspect(stuck)
    assert (waiting.state, waiting.started, waiting.cost_usd) == ("queued", None, 0.0)
    await jobs.backend.cancel(stuck)
    assert (await jobs.ended(stuck)).state == "cancelled"
    del jobs.hub.jobs.found[json.loads(handles[0])["job_id"]]
    gone = await jobs.backend.inspect(handles[0])
    assert (gone.state, gone.cost_usd) == ("lost", None)


async def test_the_price_is_by_the_minute_of_running(jobs: Jobs) -> None:
    context = jobs.desk.context()
    plan = await completed(jobs.plan("true", hardware="a100-large", limit_s=3 * 3600.0), context)
    assert plan.namespace == "ada"
    assert plan.max_usd == pytest.approx(0.041667 * 180)
    reach = await jobs.backend.effects(plan, context)
    assert (reach.destinations, reach.public, reach.cost_usd) == (("ada/jobs",), False, plan.max_usd)
    handle = await jobs.launch("sleep", "1", hardware="a100-large")
    observed = await jobs.ended(handle)
    assert observed.finished is not None
    assert observed.started is not None
    assert observed.cost_usd == pytest.approx((observed.finished - observed.started) * 0.041667 / 60)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"hardware": "a1000-large"}, r"unknown hardware 'a1000-large'; similar: a100-large: .*\$2\.50 per hour"),
        ({"limit_s": 5.0}, "5 s is not a valid time limit"),
        ({"namespace": "strangers"}, "403.*strangers"),
        ({"secrets": ("NO_SUCH_KEY",)}, "there is no secret named NO_SUCH_KEY"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_remedy(jobs: Jobs, choices: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        await jobs.launch("true", **choices)
    assert not jobs.hub.jobs.found


async def test_no_credit_is_said_in_the_hubs_words(jobs: Jobs) -> None:
    jobs.hub.accounts[TOKEN] = Account("ada", can_pay=False)
    with pytest.raises(ToolError, match=r"402.*Pre-paid credit balance is insufficient.*add credit"):
        await jobs.launch("true")


async def test_a_log_has_each_line_once_over_broken_connections_and_restarts(jobs: Jobs) -> None:
    jobs.hub.jobs.cut_logs_after = [3, 5, 0]
    code = "import time\nfor n in range(40):\n    print('line', n)\n    time.sleep(0.05)"
    handle = await jobs.launch("python", "-c", code)
    path = jobs.desk.workspace / "log.txt"
    await jobs.backend.fetch_log(handle, path)
    await until(lambda: path.exists() and "line 10\n" in path.read_text())
    with path.open("a") as file:  # what a process that was killed had not noted down
        file.write("line 11\nhalf a li")
    await jobs.ended(handle)
    expected = "".join(f"line {n}\n" for n in range(40))
    other = jobs.desk.workspace / "second.txt"
    other.write_text("line 0\nline 1\nline")
    other.with_name("second.txt.lines").write_text("2 14 0")
    again = HubJobs()
    await again.inspect(handle)
    await again.fetch_log(handle, other)
    assert other.read_text() == expected
    await jobs.backend.inspect(handle)
    await jobs.backend.fetch_log(handle, path)
    assert path.read_text().replace("line 11\nhalf a li", "") == expected


async def test_binary_output_and_odd_line_ends_are_kept_as_they_come(jobs: Jobs) -> None:
    code = r"import sys; sys.stdout.buffer.write(b'\xff\x00\x85 a\xe2\x80\xa8b\n' + '\x85c'.encode() + b'\r10%\r20%\n')"
    handle = await jobs.launch("python", "-c", code)
    await jobs.ended(handle)
    text = await jobs.log(handle)
    assert "a\u2028b\n\x85c\r10%\r20%\n" in (jobs.desk.workspace / "log.txt").read_bytes().decode()
    assert text


async def test_a_log_that_cannot_be_written_is_said_and_the_job_goes_on(jobs: Jobs) -> None:
    handle = await jobs.launch("python", "-c", "print(1)")
    await jobs.ended(handle)
    (jobs.desk.workspace / "log.txt").mkdir()
    with pytest.raises(TemporaryError, match=r"log of job .* is incomplete: .*log\.txt: Is a directory"):
        await jobs.log(handle)
    assert (await jobs.backend.inspect(handle)).state == "succeeded"


async def test_the_use_of_a_running_job_is_a_line(jobs: Jobs) -> None:
    handle = await jobs.launch("sleep", "60")
    await until(lambda: jobs.job(handle).stage == "RUNNING")
    assert (await jobs.backend.usage(handle)).startswith("CPU ")
    await jobs.backend.cancel(handle)
    assert await jobs.backend.usage(handle) == ""
