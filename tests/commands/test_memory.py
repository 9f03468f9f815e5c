"""What a thread learned reaches the next thread of the folder, and the user can list, edit and forget it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.configs.memory.file import memory_file
from ml_intern.configs.settings import Settings
from ml_intern.nodes.prompt import render_system_prompt
from ml_intern.session.opening.options import from_settings
from tests.commands.conftest import Done, call

Run = Callable[..., Done]
FACT = "labels in part-3 are shifted by one"


def prompt(folder: Path) -> str:
    return render_system_prompt({}, from_settings(Settings(), folder), "2026-01-01")


def test_a_fact_reaches_later_threads_of_the_folder_until_it_is_forgotten(
    run: Run, script: Callable[..., str], place: Path, tmp_path: Path
) -> None:
    (place / "check.log").write_text("shift found")
    model = script({"tool_calls": [call("remember", fact=FACT, evidence="check.log")]}, {"text": "done"})
    assert FACT not in prompt(place)
    assert run("-m", model, "look at the labels").code == 0
    assert FACT in prompt(place)
    assert FACT not in prompt(tmp_path)
    (listed,) = run("memory", "list", "--json").json
    assert (listed["number"], listed["text"], listed["evidence"]) == (1, FACT, "check.log")
    assert run("memory", "list").out.startswith(f"1   {FACT} (")
    assert run("memory", "forget", "1").out == f"forgotten: {FACT}\n"
    assert run("memory", "list").out == "nothing is remembered about this folder\n"
    assert FACT not in prompt(place)


def test_an_unknown_number_is_a_usage_error(run: Run) -> None:
    done = run("memory", "forget", "3")
    assert (done.code, done.err) == (2, "ml-intern: there is no fact 3; there are 0\n")


def test_the_editor_opens_the_file(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", 'sh -c \'echo "- use uv" >> "$0"\'')
    assert run("memory", "edit").code == 0
    assert memory_file(place).read_text().endswith("\n- use uv\n")
    assert "1. use uv" in prompt(place)
    monkeypatch.delenv("EDITOR")
    done = run("memory", "edit")
    assert (done.code, str(memory_file(place)) in done.err) == (2, True)
