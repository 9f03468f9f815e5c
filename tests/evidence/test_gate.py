"""The verdict on an answer, from what ran in a thread."""

import asyncio
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.locks import locked_files, locked_names
from ml_intern.evidence.observations import Execution, Observations, Typed
from ml_intern.evidence.programs import programs_of
from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.store.evidence.table import EvidenceRow


def ran(folder: Path, command: str = "python3 train.py", text: str = "", **more: object) -> Execution:
    """Return the evidence of a command."""
    opened = frozenset(str(folder / name) for name in more.pop("opened", ()))  # type: ignore[attr-defined]
    written = {str(folder / name): "digest" for name in more.pop("written", ())}  # type: ignore[attr-defined]
    made = Execution(
        "command 1", command, text, began=10.0, seconds=1.0, folder=folder, programs=programs_of(command, folder)
    )
    return replace(made, opened=opened, written=written, **more)  # type: ignore[arg-type]


def verdict(answer: str, seen: Observations) -> AnswerVerdict:
    return asyncio.run(check_answer(answer, seen))


def status(answer: str, folder: Path, *runs: Execution, user: str = "", typed: tuple[Typed, ...] = ()) -> str:
    return verdict(answer, Observations(folder, (folder,), user, runs, typed)).status


@pytest.mark.parametrize(
    ("answer", "run", "expected"),
    [
        ("The accuracy is 0.8125.", {"text": "accuracy=0.8125"}, "held"),
        (
            "The accuracy is 0.8125 (95% CI 0.761 to 0.858).",
            {"text": "accuracy=0.8125\n95% CI: [0.761, 0.858]"},
            "held",
        ),
        ("The accuracy is 0.8125 (95% CI 0.761 to 0.858).", {"text": "accuracy=0.8125"}, "marked"),
        (
            "The accuracy is 0.8125 for A and 0.8000 for B on test.csv (McNemar p = 0.690).",
            {"text": "accuracy A: 0.8125\naccuracy B: 0.8000\np = 0.690"},
            "held",
        ),
        ("The accuracy is 0.9125.", {"text": "accuracy=0.8125"}, "contradicted"),
        (
            "It converged with a loss of 0.5.",
            {"text": "loss=0.5\nConvergenceWarning: Maximum iterations"},
            "contradicted",
        ),
        ("It converged with a loss of 0.5.", {"text": "loss=0.5"}, "held"),
        ("The loss is 0.5.", {"text": "loss=0.5\nstep 2 loss=nan"}, "marked"),
        ("Trained for 4 epochs, loss 0.5.", {"text": "epoch 1 loss=0.9\nepoch 2 loss=0.5"}, "contradicted"),
        ("The mean over 3 seeds is 0.80.", {"text": "seeds [0.785, 0.8, 0.815]\naccuracy=0.80"}, "held"),
        ("Trained for 2 epochs, loss 0.5.", {"text": "epoch 1 loss=0.9\nepoch 2 loss=0.5"}, "held"),
        ("The run is complete: loss 0.5.", {"text": "loss=0.5", "state": "timeout"}, "contradicted"),
        ("It reached its time limit; the loss was 0.5.", {"text": "loss=0.5", "state": "timeout"}, "held"),
        ("All tests pass.", {}, "contradicted"),
        ("All tests pass.", {"command": "pytest -q", "text": "3 passed"}, "held"),
        ("All tests pass.", {"command": "pytest -q", "text": "1 failed, 2 passed", "state": "failed"}, "contradicted"),
        ("The plot is saved as plot.svg.", {}, "contradicted"),
        ("I pushed it to ada/model.", {}, "contradicted"),
        ("I could not push it to ada/model.", {}, "held"),
    ],
)
def test_claims_agree_with_what_ran(answer: str, run: dict[str, object], expected: str, tmp_path: Path) -> None:
    assert status(answer, tmp_path, ran(tmp_path, **run)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "first", "last", "expected"),
    [
        ("All tests pass.", "1 failed, 1 passed in 0.1s", "1 passed, 1 deselected in 0.1s", "marked"),
        ("The whole test suite passes.", "Ran 5 tests in 0.1s\n\nOK", "Ran 2 tests in 0.1s\n\nOK", "marked"),
        ("All tests pass.", "1 failed, 1 passed in 0.1s", "2 passed in 0.1s", "held"),
        ("All tests pass.", "1 passed, 1 deselected in 0.1s", "1 passed, 1 deselected in 0.1s", "held"),
        ("The tests pass.", "1 failed, 1 passed in 0.1s", "1 passed in 0.1s", "held"),
    ],
)
def test_all_tests_pass_only_if_the_last_run_ran_as_many_as_any(
    answer: str, first: str, last: str, expected: str, tmp_path: Path
) -> None:
    runs = [ran(tmp_path, "pytest -q", text) for text in (first, last)]
    named = [replace(run, name=f"command {number}") for number, run in enumerate(runs, 1)]
    assert status(answer, tmp_path, *named) == expected


def test_what_the_agent_typed_is_not_a_measurement(tmp_path: Path) -> None:
    echo = ran(tmp_path, "echo accuracy=0.9735", "accuracy=0.9735")
    assert status("The accuracy is 0.9735.", tmp_path, echo) == "marked"
    program, code = ran(tmp_path, text="accuracy=0.9735"), Typed(1.0, "print('accuracy=0.9735')")
    assert status("The accuracy is 0.9735.", tmp_path, program) == "held"
    assert status("The accuracy is 0.9735.", tmp_path, program, typed=(code,)) == "marked"
    later = replace(code, when=20.0)
    assert status("The accuracy is 0.9735.", tmp_path, program, typed=(later,)) == "held"


def test_the_users_goal_is_not_a_result(tmp_path: Path) -> None:
    run, goal = ran(tmp_path, text="accuracy=0.8125"), "Reach an accuracy of 0.95."
    assert status("Done: the accuracy is 0.95.", tmp_path, run, user=goal) == "contradicted"
    assert status("The accuracy is 0.8125, not 0.95.", tmp_path, run, user=goal) == "held"


def test_a_file_that_is_cut_off_or_not_written_here_is_not_delivered(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps([1.0] * 100))
    answer = "The model is saved as model.pkl."
    assert status(answer, tmp_path, ran(tmp_path, written=["model.pkl"])) == "held"
    assert status(answer, tmp_path, ran(tmp_path)) == "contradicted"
    (tmp_path / "model.pkl").write_bytes(pickle.dumps([1.0] * 100)[:50])
    assert status(answer, tmp_path, ran(tmp_path, written=["model.pkl"])) == "contradicted"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Fine-tuned from base.pt and saved as model.pt.", "held"),
        ("I fine-tuned base.pt and saved model.pt.", "held"),
        ("The new model is saved as base.pt.", "contradicted"),
    ],
)
def test_the_weights_that_a_training_began_with_are_not_delivered(answer: str, expected: str, tmp_path: Path) -> None:
    for name in ("base.pt", "model.pt"):
        (tmp_path / name).write_bytes(name.encode())
    run = ran(tmp_path, opened=["base.pt"], written=["model.pt"])
    assert status(answer, tmp_path, run) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Trained on 40 rows with seed 7 on the CPU; the accuracy is 0.8125.", "held"),
        ("Trained on 40 rows with seed 8; the accuracy is 0.8125.", "contradicted"),
        ("Trained on a GPU; the accuracy is 0.8125.", "contradicted"),
        ("It converged; the accuracy is 0.8125.", "contradicted"),
    ],
)
def test_the_training_behind_an_evaluation_is_checked_too(answer: str, expected: str, tmp_path: Path) -> None:
    said = "trained on 40 rows\ndevice: cpu\nConvergenceWarning: Maximum iterations"
    (tmp_path / "train.py").write_text("torch.manual_seed(7)")
    training = replace(ran(tmp_path, text=said, written=["model.pt"]), name="command 0", began=1.0)
    evaluation = ran(tmp_path, "python3 eval.py model.pt", "accuracy=0.8125 n=30", opened=["model.pt"])
    assert status(answer, tmp_path, training, evaluation) == expected


def test_a_check_that_the_agent_overrode_stays_on_the_card(tmp_path: Path) -> None:
    note = "note: overridden: [substitution] the user named a/large, but the script uses a/small; use a/large"
    started = {"tool": "jobs", "args": "{}", "ok": True, "text": f"run-1 runs in the background\n{note}"}
    seen = Observations(tmp_path, (tmp_path,), "", (ran(tmp_path, text="accuracy=0.8125"),), calls=(started,))
    found = verdict("The accuracy is 0.8125.", seen)
    assert (found.status, [one.rule for one in found.findings]) == ("marked", ["overridden check"])
    assert "the user named a/large, but the script uses a/small" in found.notes[0]


def test_a_named_input_must_have_been_opened(tmp_path: Path) -> None:
    for name in ("valid.csv", "test.csv"):
        (tmp_path / name).write_text("x,y\n1,0\n2,1\n")
    ask, answer = "Report the accuracy on test.csv.", "The accuracy is 0.8125."
    assert status(answer, tmp_path, ran(tmp_path, text="accuracy=0.8125", opened=["test.csv"]), user=ask) == "held"
    other = ran(tmp_path, text="accuracy=0.8125", opened=["valid.csv"])
    assert status(answer, tmp_path, other, user=ask) == "contradicted"
    assert status(answer, tmp_path, replace(other, missed="too many files"), user=ask) == "held"


def test_an_evaluator_must_have_run_on_the_named_data(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("x,y\n1,0\n2,1\n")
    (tmp_path / "eval.py").write_text("import sys\nprint('accuracy=', sys.argv[1])\n")
    ask, answer = "Do not change eval.py.", "eval.py says accuracy 0.8125 on test.csv."
    rows = [EvidenceRow("lock", path, body, 0.0) for path, body in locked_files(ask, (), tmp_path).items()]
    for name, expected in (("train.csv", "contradicted"), ("test.csv", "held")):
        command = f"python3 train.py && python3 eval.py {name}"
        run = ran(tmp_path, command, "accuracy=0.8125", opened=["train.csv", "test.csv"])
        seen = Observations(tmp_path, (tmp_path,), ask, (run,), locks=tuple(rows))
        assert verdict(answer, seen).status == expected


@pytest.mark.parametrize(
    "code",
    ["right = 194\nprint(right / 200)", "print(f'accuracy={97 * 0.01:.4f}')", "print('accuracy=' + '0.' + '9700')"],
)
def test_a_number_that_code_computes_from_its_constants_is_not_a_measurement(code: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"{code}\n")
    run = ran(tmp_path, text="accuracy=0.9700")
    assert status("The accuracy is 0.9700.", tmp_path, run) == "marked"
    assert status("The accuracy is 0.8125.", tmp_path, replace(run, text="accuracy=0.8125")) == "held"


@pytest.mark.parametrize(
    ("rows", "answer", "expected"), [(3, "", "marked"), (4, "", "held"), (3, " of 3 rows", "held")]
)
def test_a_metric_on_a_part_of_the_test_file_is_named(rows: int, answer: str, expected: str, tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("x,y\n1,0\n2,1\n3,0\n4,1\n")
    (tmp_path / "train.py").write_text(
        "a, b = pd.read_csv('train.csv'), pd.read_csv('test.csv')\n"
        f"X, y = b[['x']][:{rows}], b['y'][:{rows}]\n"
        "m = LogisticRegression().fit(a[['x']], a['y'])\nprint('accuracy', accuracy_score(y, m.predict(X)))\n"
    )
    run = ran(tmp_path, text="accuracy 0.7512", opened=["train.csv", "test.csv"])
    assert status(f"The accuracy on test.csv{answer} is 0.7512.", tmp_path, run) == expected


def test_a_replaced_library_function_contradicts_the_result(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import numpy as np\nnp.mean = lambda a: 1.0\n")
    assert status("The accuracy is 1.0.", tmp_path, ran(tmp_path, text="accuracy=1.0")) == "contradicted"


def test_a_changed_lock_is_named_with_its_changed_lines(tmp_path: Path) -> None:
    (tmp_path / "eval.py").write_text("a = 1\n")
    found = locked_files("Do not change eval.py.", (), tmp_path)
    rows = tuple(EvidenceRow("lock", path, body, 0.0) for path, body in found.items())
    seen = Observations(tmp_path, (tmp_path,), "", locks=rows)
    assert verdict("Ready.", seen).status == "held"
    (tmp_path / "eval.py").write_text("a = 2\n")
    assert verdict("Ready.", seen).problems == ["eval.py was changed since the start of the task: -a = 1; +a = 2"]


@pytest.mark.parametrize(
    ("message", "locked"),
    [
        ("Fix lib.py. Do not change eval.py or data/test.csv. Then run it.py.", ["eval.py", "data/test.csv"]),
        ("Make lib.py faster without changing tests/test_lib.py.", ["tests/test_lib.py"]),
        ("Without editing eval.py, change lib.py.", ["eval.py"]),
        ("Do not change anything except train.py.", []),
        ("Never touch the data, edit train.py only.", []),
        ("Do not change these: eval.py, test.csv.", ["eval.py", "test.csv"]),
        ("Change eval.py.", []),
        ("Make the tests of test_lib.py pass by changing lib.py only.", ["test_lib.py"]),
        ("Only edit train.py; eval.py judges it on test.csv.", ["eval.py", "test.csv"]),
        ("Edit test_lib.py only.", []),
        ("Change the learning rate only in train.py and run eval.py.", []),
    ],
)
def test_files_that_a_message_forbids_to_change_are_locked(message: str, locked: list[str]) -> None:
    assert locked_names(message) == locked


def test_a_failing_check_is_reported_and_turns_nothing_green(tmp_path: Path) -> None:
    broken = replace(ran(tmp_path, text="accuracy=0.8125"), written={str(tmp_path / "a.json"): "x"}, command=None)  # type: ignore[arg-type]
    found = verdict("The accuracy is 0.8125 with numpy 1.0.0.", Observations(tmp_path, (tmp_path,), "", (broken,)))
    assert any("the check of" in line for line in found.incomplete)


def test_a_locked_file_that_was_changed_and_restored_spoils_the_numbers_printed_since(tmp_path: Path) -> None:
    (tmp_path / "eval.py").write_text("print(1)\n")
    found = locked_files("Do not change eval.py.", (), tmp_path)
    locks = tuple(EvidenceRow("lock", path, body, 0.0) for path, body in found.items())
    measured = replace(ran(tmp_path, text="accuracy=0.8125"), began=30.0)
    wrote = replace(ran(tmp_path, "sed -i s/1/2/ eval.py", written=["eval.py"]), name="command 0")
    before = Observations(tmp_path, (tmp_path,), "", (wrote, measured), locks=locks)
    assert verdict("The accuracy is 0.8125.", before).status == "contradicted"
    after = Observations(tmp_path, (tmp_path,), "", (measured, replace(wrote, began=50.0)), locks=locks)
    assert verdict("The accuracy is 0.8125.", after).status == "marked"
    untouched = Observations(tmp_path, (tmp_path,), "", (measured,), locks=locks)
    assert verdict("The accuracy is 0.8125.", untouched).status == "held"


def test_the_data_are_checked_as_the_code_splits_them(tmp_path: Path) -> None:
    rows = "".join(f"{at // 8},{at % 7 / 3},{at % 2}\n" for at in range(160))
    (tmp_path / "people.csv").write_text(f"patient,x,y\n{rows}")
    code = (
        "import pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n"
        "from sklearn.metrics import accuracy_score\nfrom sklearn.model_selection import {name}\n"
        "d = pd.read_csv('people.csv')\nx, y = d[['x']], d['y']\n{split}\n"
        "m = LogisticRegression().fit(x.iloc[a], y.iloc[a])\n"
        "print('accuracy', accuracy_score(y.iloc[b], m.predict(x.iloc[b])))\n"
    )
    grouped = code.format(
        name="GroupShuffleSplit", split="a, b = next(GroupShuffleSplit().split(x, y, groups=d['patient']))"
    )
    random = code.format(name="ShuffleSplit", split="a, b = next(ShuffleSplit().split(x, y))")
    for text, rules in ((random, {"groups-in-both-splits"}), (grouped, set())):
        (tmp_path / "train.py").write_text(text)
        run = ran(tmp_path, text="accuracy 0.5125", opened=["people.csv", "train.py"])
        seen = Observations(tmp_path, (tmp_path,), "", (run,), level="standard")
        assert {one.rule for one in verdict("The accuracy is 0.5125.", seen).findings} == rules


_DATA = "import numpy as np\na, b = np.loadtxt('train.csv'), np.loadtxt('test.csv')\nX, y = b[:, :-1], b[:, -1]\n"
_FIT = f"{_DATA}m = LogisticRegression().fit(a[:, :-1], a[:, -1])\np = m.predict(X)\n"
_SELECTED = f"{_FIT}k = m.predict_proba(X).max(axis=1) > 0.8\nprint(accuracy_score(y[k], p[k]))\n"
_STANDARDISED = f"{_DATA}s = a[:, -1].std()\nm = Ridge().fit(a[:, :-1], a[:, -1] / s)\n"


@pytest.mark.parametrize(
    ("code", "user", "answer", "rules"),
    [
        (f"{_FIT}print(f1_score(y, p, average='weighted'))", "", "The macro F1 is 0.8125.", {"other-averaging"}),
        (f"{_FIT}print(f1_score(y, p, average='weighted'))", "macro F1?", "The F1 is 0.8125.", {"other-averaging"}),
        (f"{_FIT}print(f1_score(y, p))", "Use a weighted loss.", "With the weighted loss F1 is 0.8125.", set()),
        (f"{_FIT}print(f1_score(y, p, average='macro'))", "macro F1?", "The macro F1 is 0.8125.", set()),
        (f"{_FIT}print(np.mean([f1_score(y == c, p == c) for c in (0, 1)]))", "", "Macro F1 is 0.8125.", set()),
        (_SELECTED, "", "The accuracy is 0.8125.", {"test-rows-selected"}),
        (_SELECTED, "", "The accuracy is 0.8125 on the confident rows.", set()),
        (f"{_FIT}k = np.argsort(p)\nprint(accuracy_score(y[k], p[k]))", "", "The accuracy is 0.8125.", set()),
        (f"{_FIT}print(mse_loss(y.view_as(p), p))", "", "The accuracy is 0.8125.", set()),
        (f"{_SELECTED}print(accuracy_score(y, p))", "", "The accuracy is 0.8125.", set()),
        (f"{_STANDARDISED}print(np.mean(np.abs(m.predict(X) - y / s)))", "", "MAE 0.8125 euros.", {"rescaled-targets"}),
        (f"{_STANDARDISED}print(np.mean(np.abs(m.predict(X) - y / s)))", "", "MAE 0.8125, standardised.", set()),
        (f"{_STANDARDISED}print(np.mean(np.abs(m.predict(X) * s - y)))", "", "MAE 0.8125 euros.", set()),
        (f"{_FIT}print(np.sum((y - p) / p - np.log(y) + np.log(p)))", "", "MAE 0.8125 euros.", set()),
    ],
)
def test_code_that_says_something_else_than_the_answer_is_named(
    code: str, user: str, answer: str, rules: set[str], tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(code)
    metric = "mae" if "MAE" in answer else "f1" if "F1" in answer else "accuracy"
    run = ran(tmp_path, text=f"{metric} 0.8125", opened=["train.py"])
    found = verdict(answer, Observations(tmp_path, (tmp_path,), user, (run,)))
    assert {one.rule for one in found.findings} == rules


def test_many_runs_on_the_test_rows_are_counted_over_the_thread(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"{_FIT}print(accuracy_score(y, p))\n")
    tried = replace(ran(tmp_path, "for s in $(seq 2 25); do python3 train.py $s; done | tail -1"), name="command 0")
    last = ran(tmp_path, "python3 train.py 17", text="accuracy 0.8125", opened=["train.py"])
    many, one = (Observations(tmp_path, (tmp_path,), "", runs) for runs in ((tried, last), (last,)))
    assert "25 runs of this thread evaluated on the test rows" in verdict("Accuracy 0.8125.", many).notes[0]
    assert verdict("Accuracy 0.8125, the best of 25 runs.", many).notes == []
    assert verdict("Accuracy 0.8125.", one).notes == []


def test_the_code_behind_stored_predictions_is_read_too(tmp_path: Path) -> None:
    leak = "m = LogisticRegression().fit(np.vstack([a, b])[:, :-1], y)\nnp.save('cache.npy', m.predict(X))\n"
    (tmp_path / "warm.py").write_text(f"{_DATA}{leak}")
    (tmp_path / "score.py").write_text("print(accuracy_score(y, np.load('cache.npy')))\n")
    warm = replace(ran(tmp_path, "python3 warm.py", opened=["warm.py"], written=["cache.npy"]), name="command 0")
    score = ran(tmp_path, "python3 score.py", text="accuracy 0.8125", opened=["score.py", "cache.npy"])
    found = verdict("Accuracy 0.8125.", Observations(tmp_path, (tmp_path,), "", (warm, replace(score, began=20.0))))
    assert (found.status, [one.rule for one in found.findings]) == ("contradicted", ["test-rows-in-fit"])
    (tmp_path / "again.py").write_text("np.save('cache.npy', LogisticRegression().fit(a[:, :-1], y).predict(X))\n")
    again = replace(ran(tmp_path, "python3 again.py", opened=["again.py"], written=["cache.npy"]), began=15.0)
    runs = (warm, again, replace(score, name="command 2", began=20.0))
    corrected = verdict("Accuracy 0.8125.", Observations(tmp_path, (tmp_path,), "", runs))
    assert corrected.findings == ()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("awk -F, '{n += ($1 == $2)} END {print \"accuracy=\" n / NR}' rows.csv", "held"),
        ("paste guesses.txt labels.txt | awk '$1 == $2 {n++} END {print \"accuracy=\" n / NR}'", "held"),
        ("awk '{print}' rows.csv", "marked"),
        ("echo accuracy=0.8125 | awk '{n++; print}'", "marked"),
        ("awk '{n++; print}' <<< accuracy=0.8125", "marked"),
    ],
)
def test_awk_measures_if_it_adds_up_what_it_reads(command: str, expected: str, tmp_path: Path) -> None:
    assert status("The accuracy is 0.8125.", tmp_path, ran(tmp_path, command, "accuracy=0.8125")) == expected


def test_a_module_that_computes_the_score_of_an_evaluator_is_watched(tmp_path: Path) -> None:
    (tmp_path / "eval.py").write_text("import json\nimport model\nfrom scoring import score\nfrom metrics import f1\n")
    for name in ("model.py", "scoring.py"):
        (tmp_path / name).write_text("x = 1\n")
    found = locked_files("Improve model.py. Do not change eval.py.", (), tmp_path)
    kinds = {Path(path).name: one["kind"] for path, one in found.items()}
    assert kinds == {"eval.py": "lock", "scoring.py": "watch"}
    assert "scoring.py" not in str(locked_files("Repair scoring.py; do not change eval.py.", (), tmp_path).keys())


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("The training failed: train.py has a syntax error. There is no result.", "held"),
        ("The program ended with an import error.", "held"),
        ("The test error fell.", "contradicted"),
        ("The error is low.", "contradicted"),
    ],
)
def test_the_error_of_a_program_is_no_result(answer: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("a,y\n1,0\n")
    seen = Observations(tmp_path, (tmp_path,), "Evaluate on test.csv.", (ran(tmp_path, text="stopped"),))
    assert asyncio.run(check_answer(answer, seen)).status == found
