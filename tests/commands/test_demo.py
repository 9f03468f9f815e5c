import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_intern.commands.setup.demo import make_folder, packages
from ml_intern.configs import demo as files
from ml_intern.configs.errors import UsageError
from ml_intern.sandbox.bubblewrap import sandbox_problem
from tests.terminal.driver import Terminal

PROGRAM = str(Path(sys.executable).with_name("ml-intern"))
SCRIPTED = f"scripted:{files.SCRIPT}"


def environment(home: Path, **extra: str) -> dict[str, str]:
    return {**os.environ, "ML_INTERN_HOME": str(home), **extra}


def program(home: Path, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *words],
        env=environment(home, **extra),
        cwd=home.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def shown(home: Path, thread: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(program(home, "threads", "show", thread, "--json").stdout)
    return found


def newest(home: Path) -> str:
    rows = json.loads(program(home, "threads", "list", "--json").stdout)
    return str(rows[0]["id"])


@pytest.fixture
def package_index() -> None:
    """Skips where the packages of the demo can be had neither from an index nor from uv's cache."""
    wanted = [word for package in packages() for word in ("--with", package)]
    done = subprocess.run(
        ["uv", "run", "--no-project", *wanted, "python", "-c", "pass"], capture_output=True, text=True, check=False
    )
    if done.returncode and not os.environ.get("TESTS_REQUIRE_INDEX"):
        pytest.skip("needs the package index")


def test_the_script_holds_no_metric() -> None:
    steps = yaml.safe_load(files.SCRIPT.read_text())
    said = [step["text"] for step in steps]
    cards = [
        call["args"]["content"] for step in steps for call in step.get("tool_calls", []) if call["name"] == "write"
    ]
    filled_in = re.compile(r"\$\{result:(?:[^{}]|\{[^{}]*\})+\}")
    texts = [filled_in.sub("", text) for text in (*said, cards[-1])]
    assert [number for text in texts for number in re.findall(r"\d+\.\d+", text)] == []


def test_the_folder_is_new_and_holds_the_settings_with_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = make_folder(None, 11), make_folder(None, 11)
    assert first != second
    assert first.parent == tmp_path
    assert json.loads((first / "experiment.json").read_text())["seed"] == 11


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        make_folder(str(tmp_path), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_the_package_index_one_line_says_so_and_nothing_is_started(tmp_path: Path) -> None:
    done = program(tmp_path / "home", "demo", UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "cache"))
    assert done.returncode == 75
    assert "could not download scikit-learn and matplotlib" in done.stderr.splitlines()[-1]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("ml-intern-demo-")]


def test_another_model_gets_the_same_task(tmp_path: Path) -> None:
    script, home = tmp_path / "model.yaml", tmp_path / "home"
    script.write_text("- text: I would rather not.\n")
    done = program(home, "demo", "-m", f"scripted:{script}", "--dir", "work")
    assert (done.returncode, done.stdout) == (0, "I would rather not.\n")
    messages = shown(home, newest(home))["messages"]
    assert messages[0]["text"] == files.TASK.read_text().strip()


@pytest.mark.timeout(235)
@pytest.mark.index
@pytest.mark.usefixtures("package_index")
def test_a_run_fails_is_mended_and_its_thread_can_be_continued(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "work"
    sandboxed = ["--sandbox"] if sandbox_problem() is None else []
    done = program(home, "demo", *sandboxed, "--seed", "7", "--dir", str(folder))
    assert done.returncode == 0, done.stderr
    assert "the model is scripted" in done.stderr
    metrics = check_what_is_left(folder, seed=7)
    assert str(metrics["accuracy"]) in done.stdout

    thread = newest(home)
    results = [message for message in shown(home, thread)["messages"] if message["role"] == "tool"]
    assert [message["name"] for message in results if not message["ok"]] == ["bash"]
    assert any("unexpected keyword argument 'multi_class'" in message["text"] for message in results)

    again = program(home, "-r", thread, "-m", SCRIPTED, "what was the accuracy?")
    assert again.returncode == 0, again.stderr
    assert f"accuracy {metrics['accuracy']} with seed 7" in again.stdout


@pytest.mark.timeout(235)
@pytest.mark.index
@pytest.mark.usefixtures("package_index")
def test_on_a_terminal_the_first_command_asks_and_the_given_seed_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    terminal = Terminal(["demo", "--seed", "8", "--dir", str(folder)], tmp_path, tmp_path / "home")
    try:
        before = terminal.expect("Run this ")
        terminal.expect("View all of it")
        terminal.enter("y")
        after = terminal.expect("show it:")
        assert terminal.ended() == 0
    finally:
        terminal.close()
    assert "bash" not in before.partition("look at the data")[0]
    assert "View all of it" not in after
    check_what_is_left(folder, seed=8)


def check_what_is_left(folder: Path, seed: int) -> dict[str, Any]:
    """The metrics, after a look at the card and the plot."""
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    card = (folder / "README.md").read_text()
    for name in ("accuracy", "accuracy_low", "accuracy_high", "macro_f1", "baseline_accuracy", "wrong", "seed"):
        assert str(metrics[name]) in card
    assert metrics["seed"] == seed
    assert metrics["accuracy"] > 0.9 > metrics["baseline_accuracy"]
    assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
    return metrics
