"""`--verify strict` repeats the measured programs with another seed, and has a reviewer that only reads."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call

Run = Callable[..., Done]
Script = Callable[..., str]
TRAIN = """import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
pathlib.Path("model.pkl").write_bytes(b"model %d" % seed)
print(f"accuracy={SHARES[seed % 2]} n=1000")
"""
TASK = "Train a model."

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")


def play(run: Run, script: Script, place: Path, shares: str, command: str, review: str) -> Done:
    (place / "train.py").write_text(TRAIN.replace("SHARES", shares))
    model = script({"tool_calls": [call("bash", command=command)]}, {"text": "The accuracy is 0.8125."})
    options = ("--set", f"research_model={script({'text': review})}", "--output-format", "json", "-m", model)
    return run("--verify", "strict", *options, TASK)


def evidence(done: Done) -> tuple[str, list[str]]:
    found = done.json["evidence"]
    return found["claims"][0]["evidence"], [f"{one['rule']}: {one['message']}" for one in found["findings"]]


@pytest.mark.parametrize("command", ["python3 train.py", "python3 train.py --seed 2"])
def test_the_number_of_a_second_seed_stands_beside_the_claim(
    run: Run, script: Script, place: Path, command: str
) -> None:
    done = play(run, script, place, "[0.8125, 0.8031]", command, "I looked at it.\nNO DOUBT")
    seed = 3 if "--seed" in command else 1
    assert evidence(done) == (f"printed by command 1; accuracy 0.8031 with seed {seed}", [])
    assert (place / "model.pkl").read_bytes() == b"model %d" % (seed - 1)
    assert done.json["evidence"]["status"] == "held"


def test_a_number_that_the_seed_decides_and_doubts_are_remarks(run: Run, script: Script, place: Path) -> None:
    done = play(run, script, place, "[0.8125, 0.4031]", "python3 train.py", "DOUBT: train.py:6 prints a constant")
    assert evidence(done)[1] == [
        "second seed: 'accuracy 0.8125': accuracy 0.4031 with seed 1, outside 0.787 to 0.835",
        "reviewer: train.py:6 prints a constant",
    ]
    assert (done.code, done.json["evidence"]["status"]) == (0, "marked")


def test_without_a_seed_or_a_review_the_card_says_why(run: Run, script: Script, place: Path) -> None:
    (place / "other.py").write_text("print('accuracy', sum([1] * 13) / 16)")
    done = play(run, script, place, "[0, 0]", "python3 other.py", "Fine.")
    assert done.json["evidence"]["incomplete"][-2:] == [
        "no second seed: no program takes an option such as --seed",
        "not reviewed: the reviewer gave no answer of the form that was asked for",
    ]


def test_the_claims_are_kept_if_the_reviewer_cannot_run(run: Run, script: Script, place: Path) -> None:
    done = play(run, script, place, "[0.8125, 0.8031]", "python3 train.py", "${result:nothing has this (word)}")
    assert evidence(done)[0] == "printed by command 1; accuracy 0.8031 with seed 1"
    assert done.json["evidence"]["incomplete"][-1].startswith("not reviewed: no tool result matches")
