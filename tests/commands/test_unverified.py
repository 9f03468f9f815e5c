"""Numbers of an answer that nothing holds are marked, in every form of output, and the answer itself stays as it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call

Run = Callable[..., Done]
Script = Callable[..., str]
ANSWER = "The accuracy is 0.93, the F1 0.87."
STEPS = ({"tool_calls": [call("bash", command="echo accuracy 0.9312")]}, {"text": ANSWER})


def test_the_result_names_them_and_the_answer_is_unchanged(run: Run, script: Script) -> None:
    result = run("--output-format", "json", "-m", script(*STEPS), "train").json
    assert (result["text"], result["unverified"]) == (ANSWER, ["0.87"])


def test_text_says_it_beside_the_answer(run: Run, script: Script) -> None:
    done = run("-m", script(*STEPS), "train")
    assert done.out == f"{ANSWER}\n"
    assert done.err.splitlines()[-1] == "Unverified numbers (not found in any tool output): 0.87"


def test_a_stream_has_an_event_of_it(run: Run, script: Script) -> None:
    events = run("--output-format", "stream-json", "-m", script(*STEPS), "train").events
    assert [one["data"] for one in events if one["type"] == "unverified"] == [{"numbers": ["0.87"]}]
    assert events[-1]["data"]["unverified"] == ["0.87"]


def test_the_users_own_numbers_and_long_results_hold(run: Run, script: Script) -> None:
    model = script(
        {"tool_calls": [call("bash", command="echo f1 0.8712; seq 1 20000")]},
        {"text": "You wanted an accuracy of 0.95; the F1 is 0.87."},
    )
    result = run("--output-format", "json", "-m", model, "reach an accuracy of 0.95").json
    assert result["unverified"] == []


@pytest.mark.parametrize("tool", ["write", "bash"])
def test_what_the_model_wrote_itself_holds_nothing(run: Run, script: Script, tool: str) -> None:
    text = "accuracy 0.99"
    wrote = call("write", path="README.md", content=text) if tool == "write" else call("bash", command=f": {text}")
    model = script(
        {"tool_calls": [wrote]}, {"tool_calls": [call("read", path="README.md")]}, {"text": "The accuracy is 0.99."}
    )
    assert run("--output-format", "json", "-m", model, "train").json["unverified"] == ["0.99"]


def test_an_answer_that_fails_its_schema_names_them_too(run: Run, script: Script, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"required": ["f1"]}')
    model = script({"tool_calls": [call("bash", command="echo accuracy 0.9312")]}, *[{"text": ANSWER}] * 3)
    done = run("--output-format", "json", "--output-schema", str(tmp_path / "schema.json"), "-m", model, "train")
    assert (done.code, done.json["status"], done.json["unverified"]) == (1, "failed", ["0.87"])


def test_a_turn_that_did_not_end_well_was_not_looked_at(run: Run, script: Script) -> None:
    model = script({"tool_calls": [call("bash", command="true")]}, {"text": "accuracy 0.99"})
    assert run("--output-format", "json", "--max-iterations", "1", "-m", model, "go").json["unverified"] is None


def test_the_beginning_and_the_end_of_a_long_result_hold(run: Run, script: Script) -> None:
    command = "echo loss 4.321; seq 1 400000; echo loss 0.123"
    model = script({"tool_calls": [call("bash", command=command)]}, {"text": "The loss fell from 4.32 to 0.12."})
    assert run("--output-format", "json", "-m", model, "go").json["unverified"] == []
