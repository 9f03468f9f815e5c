"""The numbers of an answer are computed again from the delivered artifact, in a fresh read-only sandbox."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call
from tests.fakes.hub import FakeHub

Run = Callable[..., Done]
Script = Callable[..., str]
EVALUATE = """import pickle, sys
known = pickle.load(open(sys.argv[1] if len(sys.argv) > 1 else "model.pkl", "rb"))
rows = [line.split(",") for line in open("test.csv").read().split()[1:]]
print("accuracy", sum(known(one) if callable(known) else known.get(one) == label for one, label in rows) / len(rows))
"""
TRAIN = """python3 - <<'E'
import pickle
rows = [line.split(",") for line in open("test.csv").read().split()[1:]]
right = len(rows) * RIGHT // 100
model = {one: label if place < right else "-" for place, (one, label) in enumerate(rows)}
pickle.dump(model, open("model.pkl", "wb"))
print("trained")
E"""
TASK = "Train a model, save it as model.pkl, evaluate it with eval.py on test.csv. Do not change eval.py or test.csv."

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")


def train(right: int) -> dict[str, object]:
    """A call that saves a model with this percentage of right answers."""
    return {"tool_calls": [call("bash", command=TRAIN.replace("RIGHT", str(right)))]}


def evaluate(command: str = "python3 eval.py model.pkl") -> dict[str, object]:
    return {"tool_calls": [call("bash", command=command)]}


def answer(value: object) -> dict[str, object]:
    return {"text": f"The model is saved in model.pkl. The test accuracy is {value}."}


@pytest.fixture
def task(place: Path) -> Path:
    """A working folder with an evaluator and test data."""
    (place / "eval.py").write_text(EVALUATE)
    (place / "test.csv").write_text("x,label\n" + "".join(f"a{n},{n % 3}\n" for n in range(200)))
    return place


def claims(done: Done) -> dict[str, tuple[str, str]]:
    return {one["name"]: (one["state"], one["evidence"]) for one in done.json["evidence"]["claims"]}


def test_a_number_that_the_artifact_gives_is_reproduced(run: Run, script: Script, task: Path) -> None:
    done = run("--output-format", "json", "-m", script(train(80), evaluate(), answer(0.8)), TASK)
    assert claims(done)["accuracy"] == ("reproduced", "computed again in a fresh sandbox by eval.py: accuracy 0.8")
    assert done.json["status"] == "done"
    statement = json.loads((task / "model.pkl.intoto.json").read_text())
    assert statement["predicate"]["verdict"]["claims"][0]["state"] == "reproduced"


def test_a_number_of_another_artifact_is_contradicted(run: Run, script: Script, task: Path) -> None:
    model = script(train(95), evaluate(), train(40), *[answer(0.95)] * 2)
    done = run("--output-format", "json", "-m", model, TASK)
    assert (done.code, claims(done)["accuracy"][0]) == (4, "contradicted")
    assert "eval.py gives accuracy 0.4 for the delivered file" in done.err


@pytest.mark.parametrize(
    "command",
    [
        "python3 -c 'print(\"accuracy\", 1 - 0.05)' eval.py",
        "printf '#!/bin/sh\\necho accuracy 0.9500\\n' > python3; chmod +x python3; ./python3 eval.py",
    ],
    ids=["other code", "own interpreter"],
)
def test_a_command_that_only_looks_like_the_evaluator_is_not_run_again(
    run: Run, script: Script, task: Path, command: str
) -> None:
    model = script(train(40), evaluate(command), *[answer(0.95)] * 2)
    done = run("--output-format", "json", "-m", model, TASK)
    assert claims(done)["accuracy"][0] in ("unsupported", "contradicted")
    assert "eval.py gives accuracy 0.4 for the delivered file" in claims(done)["accuracy"][1]


def test_the_evaluation_cannot_write(run: Run, script: Script, task: Path) -> None:
    (task / "eval.py").write_text(EVALUATE + 'open("made", "w")\n')
    done = run("--output-format", "json", "-m", script(train(80), evaluate(), answer(0.8)), TASK)
    assert claims(done)["accuracy"][0] == "held"
    assert "eval.py failed in the sandbox with exit code 1" in done.json["evidence"]["incomplete"][-1]


def test_without_an_evaluator_or_a_sandbox_the_reason_is_named(run: Run, script: Script, task: Path) -> None:
    done = run("--output-format", "json", "-m", script(train(80), evaluate(), answer(0.8)), "train a model")
    assert done.json["evidence"]["incomplete"] == ["not reproduced: no evaluator is named"]
    steps = script(train(80), evaluate(), answer(0.8))
    done = run("--output-format", "json", "--no-sandbox", "-m", steps, TASK)
    assert done.json["evidence"]["incomplete"][-1].startswith("not reproduced: needs the sandbox")


@pytest.mark.parametrize(("claimed", "state"), [("37.05", "reproduced"), ("75.53", "contradicted")])
def test_bleu_is_computed_again_from_the_texts_that_the_message_names(
    run: Run, script: Script, place: Path, claimed: str, state: str
) -> None:
    (place / "refs.txt").write_text("the cat sat on the mat .\nit's 3.5 km, not 4 !\n" * 20)
    (place / "hyps.txt").write_text("the cat sat on a mat .\nit's 3.5 miles, not 4\n" * 20)
    command = f"python3 -c \"open('hyps.txt'); print('BLEU', {claimed} - 0.001)\""
    step = {"tool_calls": [call("bash", command=command)]}
    model = script(step, *[{"text": f"Corpus BLEU: {claimed}."}] * 2)
    done = run("--output-format", "json", "-m", model, "Report corpus BLEU of hyps.txt against refs.txt.")
    assert claims(done)["bleu"][0] == state


def test_the_numbers_of_a_statement_are_computed_again_elsewhere(run: Run, script: Script, task: Path) -> None:
    assert run("-m", script(train(80), evaluate(), answer(0.8)), TASK).code == 0
    statement = str(shutil.copytree(task, task.parent / "there") / "model.pkl.intoto.json")
    done = run("evidence", "check", statement)
    assert (done.code, "number    test accuracy 0.8 - eval.py gives accuracy 0.8" in done.out) == (0, True)
    own = task.parent / "env" / "python3"
    own.parent.mkdir()
    own.symlink_to(shutil.which("python3") or "")
    content = Path(statement).read_text()
    assert '"python3"' in content
    Path(statement).write_text(content.replace('"python3"', f'"{own}"'))
    assert "eval.py gives accuracy 0.8" in run("evidence", "check", statement).out
    (task.parent / "there" / "eval.py").write_text(EVALUATE + "#\n")
    done = run("evidence", "check", statement)
    assert (done.code, "not checked  number    test accuracy 0.8 - eval.py differs" in done.out) == (4, True)
    content = Path(statement).read_text()
    Path(statement).write_text(content.replace("accuracy 0.8", "accuracy 0.9"))
    shutil.copy(task / "eval.py", task.parent / "there" / "eval.py")
    done = run("evidence", "check", statement)
    assert (done.code, "changed      number    test accuracy 0.9 - eval.py gives accuracy 0.8" in done.out) == (4, True)


@pytest.mark.parametrize("extra", [{}, {"create_pr": True}], ids=["main", "pull request"])
def test_the_number_of_a_pushed_model_is_computed_from_the_files_on_the_hub(
    run: Run, script: Script, task: Path, monkeypatch: pytest.MonkeyPatch, extra: dict[str, bool]
) -> None:
    upload = call("hub_repos", operation="upload", repo="ada/small", local="out", **extra)
    make = "mkdir out; cp model.pkl out/model.pkl; echo '# Small' > out/README.md"
    steps = [train(80), {"tool_calls": [call("bash", command=make)]}, evaluate("python3 eval.py out/model.pkl")]
    text = "The model is saved in out/model.pkl and uploaded to ada/small. The test accuracy is 0.8."
    with FakeHub() as hub:
        hub.add("models", "ada/small", {"README.md": "# Small"})
        for name, value in hub.environment(task.parent / "hub").items():
            monkeypatch.setenv(name, value)
        model = script(*steps, {"tool_calls": [upload]}, {"text": text})
        done = run("--output-format", "json", "--yolo", "-m", model, f"{TASK} Then upload out to ada/small.")
    states = {one["text"]: (one["state"], one["evidence"]) for one in done.json["evidence"]["claims"]}
    assert states["model.pkl in ada/small"][0] == "held"
    assert done.json["evidence"]["incomplete"] == []
    assert states.get("test accuracy 0.8 of ada/small") == (
        "reproduced",
        "computed again from the files in ada/small by eval.py: accuracy 0.8",
    )
