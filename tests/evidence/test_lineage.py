"""The numbers and the delivered model come from the same programs, and those read the user's data."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.programs import programs_of
from tests.evidence.test_gate import verdict

ANSWER = "The accuracy is 0.8125 on test data. The model is saved as model.pkl."


def content(name: str) -> bytes:
    return f"weights of {name}".encode()


def ran(folder: Path, at: int, command: str, opened: str = "", text: str = "", **written: str) -> Execution:
    """Return the evidence of a command. `written` has the content of each model that it wrote."""
    digests = {f"{folder}/{name}.pkl": hashlib.sha256(content(of)).hexdigest() for name, of in written.items()}
    for name, of in written.items():
        (folder / f"{name}.pkl").write_bytes(content(of))
    return Execution(
        f"command {at}", command, text, began=at * 10.0, seconds=1.0, folder=folder,
        opened=frozenset(f"{folder}/{name}" for name in opened.split()), written=digests,
        programs=programs_of(command, folder),
    )  # fmt: skip


def rules(folder: Path, *runs: Execution, user: str = "Train on train.csv.") -> list[str]:
    found = verdict(ANSWER, Observations(folder, (folder,), user, runs))
    return [one.rule for one in found.findings]


def test_an_older_checkpoint_is_not_the_model_that_was_measured(tmp_path: Path) -> None:
    old = ran(tmp_path, 1, "python3 train.py", "train.csv", old="a")
    new = ran(tmp_path, 2, "python3 train.py", "train.csv", "accuracy=0.8125", new="b")
    copied = ran(tmp_path, 3, "cp old.pkl model.pkl", "old.pkl", model="a")
    assert rules(tmp_path, old, new, copied) == ["older artifact"]
    kept = ran(tmp_path, 3, "cp new.pkl model.pkl", "new.pkl", model="b")
    assert rules(tmp_path, old, new, kept) == []
    evaluated = ran(tmp_path, 4, "python3 eval.py", "model.pkl test.csv", "accuracy=0.8125", model="a")
    assert rules(tmp_path, old, replace(new, text=""), copied, evaluated) == []


def test_a_model_that_was_there_before_is_not_the_one_that_was_measured(tmp_path: Path) -> None:
    (tmp_path / "given.pkl").write_bytes(content("c"))
    new = ran(tmp_path, 2, "python3 train.py", "train.csv", "accuracy=0.8125", new="b")
    assert rules(tmp_path, new, ran(tmp_path, 3, "cp given.pkl model.pkl", "given.pkl", model="c")) == [
        "older artifact"
    ]


FIT = "import numpy as np, pickle\nfrom sklearn.svm import SVC\n{rows}\nmodel = SVC().fit(rows[:, :-1], rows[:, -1])\n"
BOTH = 'rows = np.vstack([np.loadtxt("train.csv", delimiter=","), np.loadtxt("test.csv", delimiter=",")])'
ALONE = 'rows = np.loadtxt("train.csv", delimiter=",")\ntest = np.loadtxt("test.csv", delimiter=",")\nprint(len(test))'
EVALUATION = """import numpy as np, pickle
from sklearn.metrics import accuracy_score
model = pickle.load(open("model.pkl", "rb"))
test = np.loadtxt("test.csv", delimiter=",")
print(f"accuracy={accuracy_score(test[:, -1], model.predict(test[:, :-1]))}")
"""


@pytest.mark.parametrize(("rows", "expected"), [(BOTH, ["test-rows-in-fit"]), (ALONE, [])])
def test_rows_of_the_test_file_in_a_training_behind_an_evaluation_are_named(
    tmp_path: Path, rows: str, expected: list[str]
) -> None:
    (tmp_path / "train.py").write_text(FIT.format(rows=rows))
    (tmp_path / "eval.py").write_text(EVALUATION)
    train = ran(tmp_path, 1, "python3 train.py", "train.csv test.csv train.py", model="a")
    evaluated = ran(tmp_path, 2, "python3 eval.py", "model.pkl test.csv eval.py", "accuracy=0.8125")
    assert [rule for rule in rules(tmp_path, train, evaluated) if rule == "test-rows-in-fit"] == expected


def test_a_final_fit_after_the_evaluation_is_not_reported(tmp_path: Path) -> None:
    measured = ran(tmp_path, 1, "python3 train.py", "train.csv", "accuracy=0.8125", fold="a")
    assert rules(tmp_path, measured, ran(tmp_path, 2, "python3 final.py", "train.csv", model="b")) == []


@pytest.mark.parametrize(("read", "expected"), [("stored.npy", ["no data read"]), ("predictions.npy", [])])
def test_a_stored_number_is_not_a_measurement(tmp_path: Path, read: str, expected: list[str]) -> None:
    (tmp_path / "train.csv").write_text("x,y\n1,0\n")
    train = ran(tmp_path, 1, "python3 train.py", "train.csv", model="a")
    train = replace(train, written={**train.written, f"{tmp_path}/predictions.npy": "d"})
    store = replace(ran(tmp_path, 2, "python3 store.py"), written={f"{tmp_path}/stored.npy": "e"})
    shown = ran(tmp_path, 3, "python3 show.py", read, "accuracy=0.8125")
    assert [one for one in rules(tmp_path, train, store, shown) if one != "older artifact"] == expected


def test_the_data_of_the_training_count_for_the_evaluation_of_its_model(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("x,y\n1,0\n")
    train = ran(tmp_path, 1, "python3 train.py", "train.csv", model="a")
    evaluated = ran(tmp_path, 2, "python3 eval.py", "model.pkl", "accuracy=0.8125")
    answer = "I trained it on train.csv. The accuracy is 0.8125."
    seen = Observations(tmp_path, (tmp_path,), "", (train, evaluated))
    assert verdict(answer, seen).status == "held"
    assert verdict(answer, replace(seen, executions=(evaluated,))).status == "contradicted"
