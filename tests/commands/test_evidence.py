"""An answer is checked against what ran: its claims and the facts stand beside it, in every form of output."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call

Run = Callable[..., Done]
Script = Callable[..., str]
ANSWER = "The accuracy is 0.93, the F1 0.87."
MEASURE = call("bash", command="python3 -c 'print(\"accuracy\", sum([1] * 2328) / 2500)'")
STEPS = ({"tool_calls": [MEASURE]}, {"text": ANSWER})


def states(result: dict[str, object]) -> dict[str, str]:
    """Return claim -> state of a result's evidence."""
    evidence = result["evidence"]
    assert isinstance(evidence, dict)
    return {claim["text"]: claim["state"] for claim in evidence["claims"]}


def test_the_result_has_the_claims_with_their_states_and_the_answer_is_unchanged(run: Run, script: Script) -> None:
    result = run("--output-format", "json", "-m", script(*STEPS), "train").json
    assert (result["text"], result["status"], result["unverified"]) == (ANSWER, "done", [])
    assert states(result) == {"accuracy 0.93": "held", "f1 0.87": "unsupported"}


def test_text_says_it_beside_the_answer(run: Run, script: Script) -> None:
    done = run("-m", script(*STEPS), "train")
    assert done.out == f"{ANSWER}\n"
    assert "not supported: f1 0.87 - no program of this thread printed it" in done.err


def test_a_contradicted_answer_is_corrected_once(run: Run, script: Script) -> None:
    model = script({"tool_calls": [MEASURE]}, {"text": "The accuracy is 0.99."}, {"text": "The accuracy is 0.93."})
    done = run("--output-format", "stream-json", "-m", model, "train")
    verdicts = [one["data"]["status"] for one in done.events if one["type"] == "evidence"]
    assert (done.code, verdicts, done.events[-1]["data"]["text"]) == (
        0,
        ["contradicted", "held"],
        "The accuracy is 0.93.",
    )


def test_an_answer_that_stays_contradicted_ends_with_exit_code_4(run: Run, script: Script) -> None:
    model = script({"tool_calls": [MEASURE]}, *[{"text": "The accuracy is 0.99."}] * 2)
    done = run("--output-format", "json", "-m", model, "train")
    assert (done.code, done.json["status"], done.json["exit_code"]) == (4, "contradicted", 4)
    assert "contradicted: accuracy 0.99" in done.err


def test_verify_off_checks_and_records_nothing(run: Run, script: Script) -> None:
    model = script({"tool_calls": [MEASURE]}, {"text": "The accuracy is 0.99; all tests pass."})
    done = run("--output-format", "json", "--verify", "off", "-m", model, "train")
    assert (done.code, done.json["status"], done.json["evidence"]) == (0, "done", None)


def test_the_users_goal_and_long_results_are_understood(run: Run, script: Script) -> None:
    command = "python3 -c 'print(\"f1\", sum([1] * 2178) / 2500)'; seq 1 20000"
    model = script(
        {"tool_calls": [call("bash", command=command)]},
        {"text": "The F1 is 0.87; the accuracy is not at least 0.95."},
    )
    result = run("--output-format", "json", "-m", model, "reach an accuracy of 0.95").json
    assert states(result) == {"f1 0.87": "held"}


@pytest.mark.parametrize(
    "wrote",
    [
        call("write", path="README.md", content="accuracy 0.991"),
        call("bash", command="echo accuracy 0.991 | tee README.md"),
        call("bash", command="python3 -c 'print(\"accuracy\", 0.991)' | tee README.md"),
    ],
)
def test_what_the_model_wrote_itself_is_not_a_measurement(run: Run, script: Script, wrote: dict[str, object]) -> None:
    read = call("read", path="README.md")
    model = script({"tool_calls": [wrote]}, {"tool_calls": [read]}, {"text": "The accuracy is 0.991."})
    result = run("--output-format", "json", "-m", model, "train").json
    assert states(result)["accuracy 0.991"] == "unsupported"


def test_a_locked_file_cannot_be_written_or_changed(run: Run, script: Script, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    (work / "eval.py").write_text("print(1)\n")
    model = script(
        {"tool_calls": [call("write", path="eval.py", content="print(2)\n")]},
        {"tool_calls": [call("bash", command="rm -f eval.py; echo 'print(2)' > eval.py")]},
        *[{"text": "Ready."}] * 2,
    )
    done = run("-C", str(work), "--output-format", "stream-json", "-m", model, "Do not change eval.py.")
    outputs = [one["data"]["text"] for one in done.events if one["type"] == "tool_output"]
    assert "eval.py is locked" in outputs[0]
    assert "the user locked it" in outputs[1]
    changed = (work / "eval.py").read_text() != "print(1)\n"
    assert (done.code == 4) is changed  # without a sandbox the change is found, with one it fails


def test_a_turn_that_did_not_end_well_was_not_looked_at(run: Run, script: Script) -> None:
    model = script({"tool_calls": [call("bash", command="true")]}, {"text": "accuracy 0.99"})
    assert run("--output-format", "json", "--max-iterations", "1", "-m", model, "go").json["evidence"] is None
