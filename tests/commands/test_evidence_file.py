"""The evidence of a thread can be shown, and the statement beside an artifact be checked in another folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call

Run = Callable[..., Done]
Script = Callable[..., str]
TRAIN = """python3 - <<'E'
import pickle
rows = open("train.csv").read().split()
pickle.dump({"rows": rows}, open("out/model.pkl", "wb"))
print("accuracy", sum([1] * 2328) / 2500)
E"""
ANSWER = "The accuracy is 0.93 and the F1 0.87. The model is saved in out/model.pkl."


@pytest.fixture
def trained(run: Run, script: Script, place: Path) -> str:
    """The id of a thread that trained a model, in a working folder with a statement."""
    (place / "train.csv").write_text("1\n2\n")
    (place / "out").mkdir()
    model = script({"tool_calls": [call("bash", command=TRAIN)]}, {"text": ANSWER})
    result = run("--output-format", "json", "-m", model, "Train a model. Do not change train.csv.").json
    assert result["evidence"]["statements"] == ["out/model.pkl.intoto.json"]
    return str(result["thread_id"])


def copied(place: Path) -> Path:
    """Copy the delivered files to another folder and return the statement there."""
    other = place.parent / "elsewhere"
    shutil.copytree(place / "out", other / "out")
    shutil.copy(place / "train.csv", other)
    return other / "out" / "model.pkl.intoto.json"


def test_the_card_has_every_claim_the_locks_and_what_ran(run: Run, trained: str) -> None:
    card = run("evidence", trained, "--json").json
    claims = {one["name"]: one["state"] for one in card["answers"][0]["evidence"]["claims"]}
    assert claims == {"accuracy": "held", "f1": "unsupported", "file": "held"}
    assert card["locks"] == [{"path": "train.csv", "kind": "locked", "changed": ""}]
    assert (card["runs"][0]["read"], card["runs"][0]["written"]) == (["train.csv"], ["out/model.pkl"])
    text = run("evidence", trained[:8]).out
    assert "supported: accuracy 0.93 - printed by command 1" in text
    assert "train.csv  locked, unchanged" in text


def test_an_undone_answer_stays_on_the_card(run: Run, trained: str, place: Path) -> None:
    assert run("threads", "undo", trained).code == 0
    assert not (place / "out" / "model.pkl.intoto.json").exists()
    assert run("evidence", trained, "--json").json["answers"][0]["undone"] is True


def test_the_statement_is_an_in_toto_statement_and_agrees_in_another_folder(
    run: Run, trained: str, place: Path
) -> None:
    found = json.loads((place / "out" / "model.pkl.intoto.json").read_text())
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert [one["name"] for one in found["subject"]] == ["out/model.pkl"]
    assert found["predicate"]["verdict"]["status"] == "marked"
    done = run("evidence", "check", str(copied(place)))
    assert done.code == 0
    assert "agrees       artifact  out/model.pkl" in done.out
    assert "agrees       locked    train.csv" in done.out


def test_one_changed_byte_is_found(run: Run, trained: str, place: Path) -> None:
    file = copied(place)
    weights = bytearray(file.with_name("model.pkl").read_bytes())
    weights[-3] ^= 1
    file.with_name("model.pkl").write_bytes(weights)
    done = run("evidence", "check", str(file))
    assert (done.code, done.out.splitlines()[0]) == (
        4,
        "changed      artifact  out/model.pkl - its content differs from the statement",
    )


def test_what_is_missing_is_named(run: Run, trained: str, place: Path) -> None:
    file = copied(place)
    file.with_name("model.pkl").unlink()
    (file.parent.parent / "train.csv").unlink()
    done = run("evidence", "check", str(file), "--json")
    states = {one["name"]: one["state"] for one in done.json["items"]}
    assert (done.code, states) == (1, {"out/model.pkl": "missing", "train.csv": "not checked"})


def test_a_file_of_another_folder_is_not_mistaken_for_one_of_the_same_name(run: Run, trained: str, place: Path) -> None:
    statement = copied(place)
    content = json.loads(statement.read_text())
    base = {"name": "base/model.pkl", "digest": {"sha256": "0" * 64}, "role": "data"}
    content["predicate"]["files"].append(base)
    statement.write_text(json.dumps(content))
    checked = run("evidence", "check", str(statement), "--json")
    states = {one["name"]: one["state"] for one in checked.json["items"]}
    assert (checked.code, states["base/model.pkl"], states["out/model.pkl"]) == (0, "not checked", "agrees")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not an in-toto statement"),
        ('{"_type": "https://in-toto.io/Statement/v1", "predicateType": "x"}', "has the predicate type 'x'"),
        (
            '{"_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:ml-intern:evidence:v1"}',
            "is damaged",
        ),
    ],
)
def test_a_bad_file_is_one_clear_line(run: Run, place: Path, content: str | None, why: str) -> None:
    if content is not None:
        (place / "bad.json").write_text(content)
    done = run("evidence", "check", "bad.json")
    assert (done.code, done.out, why in done.err, done.err.count("\n")) == (2, "", True, 1)


def test_another_file_of_that_name_stays(run: Run, script: Script, place: Path) -> None:
    (place / "train.csv").write_text("1\n")
    (place / "out").mkdir()
    (place / "out" / "model.pkl.intoto.json").write_text("mine")
    model = script({"tool_calls": [call("bash", command=TRAIN)]}, {"text": "The model is in out/model.pkl."})
    evidence = run("--output-format", "json", "-m", model, "train").json["evidence"]
    assert (place / "out" / "model.pkl.intoto.json").read_text() == "mine"
    assert "there is another file of this name" in evidence["incomplete"][-1]


def test_quick_writes_no_file(run: Run, script: Script, place: Path) -> None:
    (place / "train.csv").write_text("1\n")
    (place / "out").mkdir()
    model = script({"tool_calls": [call("bash", command=TRAIN)]}, {"text": ANSWER})
    run("--verify", "quick", "-m", model, "train")
    assert [one.name for one in (place / "out").iterdir()] == ["model.pkl"]


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
def test_a_folder_that_the_evaluator_got_needs_no_slash_in_the_answer(run: Run, script: Script, place: Path) -> None:
    (place / "eval.py").write_text("print('accuracy', 15 / 16)\n")
    (place / "tuned").mkdir()
    train = "python3 -c \"open('tuned/model.pt', 'w').write('weights')\" && python3 eval.py tuned"
    model = script(
        {"tool_calls": [call("bash", command=train)]}, {"text": "The accuracy is 0.9375. The model is saved in tuned."}
    )
    done = run("--output-format", "json", "-m", model, "Train a model and evaluate it with eval.py.")
    assert done.json["evidence"]["statements"] == ["tuned/model.pt.intoto.json"]
