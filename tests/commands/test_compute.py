"""From a question to a pushed model: a smoke run here, a job on the fake Hub, whose jobs really run, and the waking.

The model is a server that counts what it is asked: nothing while a run goes on.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.program import Program
from tests.fakes.hub import FakeHub
from tests.fakes.model_server import Call, FakeModelServer, Reply

WISH = "fine-tune llama on my dataset"
REPO = "ada/tiny-llama-tuned"
TRAIN = f'''
import json, os, pathlib, random, sys, time
random.seed(0)
steps, weight = int(sys.argv[1]), 0.0
rows = [(x, 3.0 * x) for x in (random.random() for _ in range(64))]
for step in range(steps):
    loss = sum((weight * x - y) ** 2 for x, y in rows) / len(rows)
    weight -= 0.3 * sum(2 * (weight * x - y) * x for x, y in rows) / len(rows)
    print(json.dumps({{"step": step, "loss": round(loss, 4)}}), flush=True)
gate = os.environ.get("GATE")
while gate and not pathlib.Path(gate).exists():
    time.sleep(0.05)
os.makedirs("out", exist_ok=True)
with open("out/model.safetensors", "w") as file:
    json.dump([weight], file)
if os.environ.get("HF_TOKEN"):
    from huggingface_hub import HfApi
    HfApi().create_repo("{REPO}", private=True, exist_ok=True)
    HfApi().upload_folder(repo_id="{REPO}", folder_path="out")
print("done", steps)
'''
CARD = "---\nlicense: mit\nbase_model: ada/tiny-llama\n---\n# Tuned\n"


def call(tool: str, **args: Any) -> Reply:
    return Reply(calls=[Call(tool, json.dumps(args))])


class Place(Program):
    """The program with a model and a Hub of its own."""

    def __init__(self, hub: FakeHub, model: FakeModelServer, root: Path) -> None:
        super().__init__(root, {**hub.environment(root / "hf"), "OPENAI_API_KEY": "k" * 20})
        self.hub, self.model, self.gate = hub, model, root / "gate"
        job = {"backend": "hub", "timeout": "10m", "secrets": ["HF_TOKEN"], "env": {"GATE": str(self.gate)}}
        common = {"operation": "run", "script": "train.py", "override": ["imports"]}
        model.say(
            call("write", path="train.py", content=TRAIN),
            call("jobs", **common, args=["3"], name="smoke"),
            Reply(text="The smoke run is under way."),
            call("jobs", **common, **job, args=["30"], name="full"),
            Reply(text="The job is under way."),
        )

    def ask(self, *argv: str) -> "subprocess.Popen[str]":
        """Start it with the model."""
        return self.start("-m", "fake", "--base-url", self.model.url, *argv)

    def wait_for_model(self, requests: int) -> None:
        """Until the model was asked so often, and that it is not asked again while nothing ends."""
        deadline = time.monotonic() + 90
        while len(self.model.asked) < requests:
            assert time.monotonic() < deadline, f"the model was asked {len(self.model.asked)} times"
            time.sleep(0.05)
        time.sleep(2)
        assert len(self.model.asked) == requests

    def said(self) -> list[str]:
        """What the model was told in its last request."""
        return [str(message.get("content")) for message in self.model.asked[-1].json["messages"]]

    def push(self) -> tuple[Reply, ...]:
        """How the model goes on once the job has ended."""
        (self.folder / "card").mkdir(exist_ok=True)
        (self.folder / "card" / "README.md").write_text(CARD)
        upload = call("hub_repos", operation="upload", repo=REPO, local="card/README.md", path="README.md")
        return (upload, Reply(text="The model is there."))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FakeHub() as hub, FakeModelServer() as model:
        yield Place(hub, model, tmp_path)


def is_done(place: Place) -> None:
    """The model is on the Hub, one job ran, and both runs stand beside each other."""
    (job,) = place.hub.jobs.found.values()
    assert (job.stage, job.spec["timeoutSeconds"]) == ("COMPLETED", 600)
    repository = place.hub.repository("models", REPO)
    assert repository.private
    assert {"model.safetensors", "README.md"} <= set(repository.files)
    listed = json.loads(place.run("runs", "list", "--json").stdout)
    assert {row["name"] for row in listed} == {"smoke", "full"}
    compared = place.run("runs", "compare", "smoke", "full")
    assert compared.returncode == 0, compared.stderr
    assert "loss" in compared.stdout


def test_one_wish_without_a_person_ends_with_the_model_on_the_hub(place: Place) -> None:
    place.model.say(*place.push())
    with place.ask("--output-format", "json", WISH) as process:
        place.wait_for_model(5)
        place.gate.touch()
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["text"] == "The model is there."
    assert len(place.model.asked) == 7
    is_done(place)
    rows = json.loads(out)["usage"]["by_source"]
    assert ("job", "cpu-basic") in {(row["source"], row["model"]) for row in rows}


def test_killed_while_the_job_runs_and_gone_on_with(place: Place) -> None:
    with place.ask(WISH) as process:
        place.wait_for_model(5)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    place.model.say(Reply(text="It still runs."), *place.push())
    with place.ask("-c", "--output-format", "json", "how is it going?") as process:
        place.wait_for_model(6)
        place.gate.touch()
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["text"] == "The model is there."
    assert sum("succeeded" in text and "done 30" in text for text in place.said()) == 1
    is_done(place)
