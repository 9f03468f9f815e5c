"""The facts the checks are told: from the viewer, the working folder, earlier runs, the user's words."""

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.preflight.findings import PreflightReport
from ml_intern.runs.preflight.gather import preflight
from ml_intern.runs.record import record_launch
from ml_intern.store.experiments import ExperimentRow
from ml_intern.store.runs import RunEnding, RunRow
from tests.execution.conftest import THREAD
from tests.fakes.hub import FakeHub
from tests.tools.compute.scripts import SFT, planned
from tests.tools.hub.conftest import HubBench

CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def job(desk: HubBench, script: str = SFT, **given: Any) -> RunPlan:
    return planned(script=script, workdir=desk.workspace, **given)


async def has_run(desk: HubBench, script: str, backend: str = "local", state: str = "succeeded") -> None:
    """A run of the script is in the tables, as a launch of it writes them."""
    plan, store = job(desk, script), desk.store
    id = f"{backend}-{state}"
    await store.runs.add(RunRow(id, THREAD, "train.py", backend=backend, limit_s=600.0, started=1.0))
    await record_launch(id, plan, desk.context())
    if state != "running":
        ending = RunEnding(state, 0, metrics='{"loss": 0.5}', cost_usd=0.25, finished=61.0)
        await store.runs.end(id, ending)


def committed(folder: Path) -> None:
    for words in (("init", "-q"), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty")):
        subprocess.run(["git", "-C", str(folder), *words], check=True)


async def rules(desk: HubBench, plan: RunPlan, user_text: str = "", **facts: Any) -> list[str]:
    found = await preflight(plan, replace(desk.context(), user_text=user_text), **facts)
    return [one.rule for one in found.refused]


async def test_a_job_with_a_smoke_run_and_a_dataset_that_fits_passes(hub: FakeHub, desk: HubBench) -> None:
    hub.add_dataset("trl-lib/Capybara", {"train": [{"messages": CHAT}] * 3})
    await has_run(desk, SFT)
    assert await preflight(job(desk), desk.context()) == PreflightReport()


async def test_the_viewer_tells_the_columns(hub: FakeHub, desk: HubBench) -> None:
    hub.add_dataset("trl-lib/Capybara", {"train": [{"question": "q", "answer": "a"}]})
    await has_run(desk, SFT)
    assert [await rules(desk, job(desk)) for _ in range(3)] == [["columns"]] * 3
    assert sum(asked.path.endswith("/splits") for asked in hub.asked) == 1


async def test_a_viewer_that_does_not_answer_stops_nothing(hub: FakeHub, desk: HubBench) -> None:
    await has_run(desk, SFT)
    assert await rules(desk, job(desk)) == []


async def test_paths_and_modules_of_the_working_folder_are_seen(hub: FakeHub, desk: HubBench) -> None:
    (desk.workspace / "rows.jsonl").write_text("{}\n")
    (desk.workspace / "scoring.py").write_text("")
    script = SFT.replace('"trl-lib/Capybara"', '"json", data_files="rows.jsonl"') + "import scoring\n"
    await has_run(desk, script)
    assert await rules(desk, job(desk, script)) == ["imports", "local_path"]


async def test_a_run_that_failed_is_no_smoke_run_and_a_second_job_waits_for_the_first(
    hub: FakeHub, desk: HubBench
) -> None:
    await has_run(desk, SFT, state="failed")
    assert await rules(desk, job(desk)) == ["smoke"]
    await has_run(desk, SFT)
    await has_run(desk, SFT, "hub", "running")
    assert await rules(desk, job(desk)) == ["one_first"]


async def test_the_users_words_and_an_unnamed_limit_are_facts(hub: FakeHub, desk: HubBench) -> None:
    await has_run(desk, SFT)
    assert await rules(desk, job(desk), "fine-tune llama", limit_named=False) == ["time_limit", "substitution"]


async def test_a_command_that_runs_a_script_is_read_as_the_script(hub: FakeHub, desk: HubBench) -> None:
    (desk.workspace / "train.py").write_text(SFT.replace("trainer.train()", "trainer.train("))
    plan = planned(workdir=desk.workspace, command=("uv", "run", "train.py", "--max-steps", "3"), script="")
    assert await rules(desk, plan) == ["script"]


async def test_a_run_is_an_experiment_with_its_settings_and_ends_as_the_run_does(hub: FakeHub, desk: HubBench) -> None:
    rows = desk.workspace / "rows.jsonl"
    rows.write_text("{}\n")
    committed(desk.workspace)
    script = SFT.replace("bf16=True", "bf16=True, seed=13, learning_rate=2e-4")
    await has_run(desk, script + 'open("rows.jsonl")\n')
    found: ExperimentRow = (await desk.store.experiments.list())[0]
    settings = json.loads(found.config)
    assert (settings["learning_rate"], settings["models"], found.seed) == (2e-4, ["Qwen/Qwen2.5-1.5B"], 13)
    assert json.loads(found.split_hashes) == {"rows.jsonl": hashlib.sha256(b"{}\n").hexdigest()}
    assert len(found.git_commit) == 40
    assert (found.values, found.cost_usd) == ({"loss": 0.5}, 0.25)


async def test_the_revision_of_the_data_is_the_hubs(hub: FakeHub, desk: HubBench) -> None:
    hub.add_dataset("trl-lib/Capybara", {"train": [{"messages": CHAT}]})
    await has_run(desk, SFT)
    assert len((await desk.store.experiments.list())[0].data_revision) == 40


async def test_a_command_line_of_the_shell_is_read_word_by_word(hub: FakeHub, desk: HubBench) -> None:
    (desk.workspace / "train.py").write_text(SFT)
    plan = planned(workdir=desk.workspace, command=("bash", "-c", "uv run train.py --max-steps 3"), script="")
    assert await rules(desk, plan) == ["local_path"]
    assert await rules(desk, replace(plan, backend="local", hardware=None)) == []
