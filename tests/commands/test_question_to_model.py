"""The whole of it: a question, a paper's recipe, a checked dataset, a script, a training run, a model on the Hub."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import question_to_model as work
from tests.fakes.github import GitHub
from tests.fakes.hub import FakeHub
from tests.fakes.hub.server import TOKEN, scrubbed_environment

PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Done:
    """What the run left: its events, its folder, and the services it spoke to."""

    events: list[dict[str, Any]]
    folder: Path
    hub: FakeHub
    github: GitHub
    environment: Mapping[str, str]

    def hf(self, *argv: str) -> str:
        """What the hf command prints."""
        done = subprocess.run(
            [str(PROGRAMS / "hf"), *argv], env=self.environment, cwd=self.folder, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def outputs(self, name: str) -> list[str]:
        """The results of the calls of a tool."""
        found = [event["data"] for event in self.events if event["type"] == "tool_output"]
        return [output["text"] for output in found if output["name"] == name]


@pytest.fixture
def done(tmp_path: Path) -> Iterator[Done]:
    pytest.importorskip("pyarrow", reason="needs pyarrow, which writes the fake Hub's parquet files: uv sync")
    root, folder = tmp_path, tmp_path / "work"
    folder.mkdir()
    with FakeHub() as hub, GitHub() as github:
        work.fill(hub, github)
        environment = {
            **scrubbed_environment(),
            **hub.environment(root / "hf"),
            "ML_INTERN_HOME": str(root / "home"),
            "GITHUB_API_URL": github.url,
            "PATH": f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        yield Done(_run(root, folder, hub, environment), folder, hub, github, environment)


def _run(root: Path, folder: Path, hub: FakeHub, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    for name, steps in (("main", work.MAIN), ("child", work.CHILD)):
        (root / f"{name}.yaml").write_text(yaml.safe_dump(steps, sort_keys=False))
    command = [
        str(PROGRAMS / "ml-intern"), "-m", f"scripted:{root / 'main.yaml'}", "--output-format", "stream-json",
        "--set", f"research_model=scripted:{root / 'child.yaml'}", "--set", f"hosts.dataset_viewer={hub.viewer_url}",
        work.QUESTION,
    ]  # fmt: skip
    ran = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=150,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
    return [json.loads(line) for line in ran.stdout.splitlines()]


def ends_well_in_the_default_mode_without_a_question(done: Done) -> None:
    types = [event["type"] for event in done.events]
    assert "approval_required" not in types
    assert done.events[0]["data"]["approval_mode"] == "auto"
    assert done.events[-1]["data"]["exit_code"] == 0
    assert re.fullmatch(r"It is at ada/review-classifier: accuracy [\d.]+\.", done.events[-1]["data"]["text"])
    failed = [e["data"]["text"] for e in done.events if e["type"] == "tool_output" and not e["data"]["ok"]]
    assert failed == []


def outside_text_was_in_its_context_when_it_pushed(done: Done) -> None:
    assert "[outside text from" in done.outputs("datasets")[0]
    assert "[outside text from https://github.com/org/linear" in done.outputs("github")[-1]


def the_recipe_came_with_its_source_and_the_dataset_was_checked(done: Done) -> None:
    assert "12 epochs, seed 13 [arXiv:2412.00777, section 3.2]" in done.outputs("research")[0]
    assert "text classification" in done.outputs("datasets")[0]


def the_hf_command_lists_exactly_what_was_made(done: Done) -> None:
    listed = json.loads(done.hf("models", "ls", "--author", "ada", "--json"))
    assert [(one["id"], one["private"]) for one in listed] == [("ada/review-classifier", True)]
    for kind in ("datasets", "spaces"):
        assert json.loads(done.hf(kind, "ls", "--author", "ada", "--json")) == []
    files = {line.split()[-1] for line in done.hf("models", "ls", "ada/review-classifier", "-R").splitlines() if line}
    assert files - {".gitattributes"} == {"README.md", "metrics.json", "model.json", "train.py"}


def what_is_on_the_hub_is_what_was_measured_here(done: Done) -> None:
    done.hf("download", "ada/review-classifier", "--local-dir", "down")
    down = done.folder / "down"
    metrics = json.loads((down / "metrics.json").read_text())
    assert metrics == json.loads((done.folder / "out" / "metrics.json").read_text())
    assert metrics["accuracy"] > metrics["majority"]
    card = (down / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["datasets"] == ["org/reviews"]
    assert f"test split: {metrics['accuracy']}" in card


def the_token_went_to_the_hub_alone(done: Done) -> None:
    assert done.hub.tokens_at("localhost") == []
    assert done.github.secrets == set()
    assert TOKEN not in json.dumps(done.events)


def test_from_a_question_to_a_model_on_the_hub(done: Done) -> None:
    ends_well_in_the_default_mode_without_a_question(done)
    outside_text_was_in_its_context_when_it_pushed(done)
    the_recipe_came_with_its_source_and_the_dataset_was_checked(done)
    the_hf_command_lists_exactly_what_was_made(done)
    what_is_on_the_hub_is_what_was_measured_here(done)
    the_token_went_to_the_hub_alone(done)
