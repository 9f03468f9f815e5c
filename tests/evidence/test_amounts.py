"""Rows, folds and seeds that an answer says are compared with the code that ran and with its reports."""

import asyncio
from pathlib import Path

import pytest

from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.observations import Observations
from tests.evidence.test_gate import ran

FITS = ("start 3.12", "fit LogisticRegression rows=100")


@pytest.mark.parametrize(
    ("answer", "code", "hints", "contradicted"),
    [
        ("Trained on all 400 rows of train.csv.", "", FITS, ["contradicted"]),
        ("Trained on all 100 rows of train.csv.", "", FITS, []),
        ("Trained on 400 rows, of which 300 are for validation.", "", FITS, []),
        ("The mean of a 5-fold cross-validation.", "cross_val_score(m, x, y, cv=2)", (), ["contradicted"]),
        ("The mean of a 5-fold cross-validation.", "cross_val_score(m, x, y)", (), []),
        ("The mean of a 5-fold cross-validation.", "cross_val_score(GridSearchCV(m, g, cv=2), x, y)", (), []),
        ("The mean of a 5-fold cross-validation.", "StratifiedKFold(5); GridSearchCV(m, g, cv=3)", (), []),
        ("The mean over three seeds.", "[fit(x, random_state=7) for k in range(3)]", (), ["contradicted"]),
        ("The mean over three seeds.", "[fit(x, random_state=k) for k in range(3)]", (), []),
        ("The mean over three seeds.", "fit(x, random_state=args.seed)", (), []),
        ("A grid search over 12 settings.", "GridSearchCV(m, {'C': [1.0]})", (), ["contradicted"]),
        ("A grid search over 12 settings.", "GridSearchCV(m, {'C': [1, 2, 3, 4], 'tol': [1, 2, 3]})", (), []),
        ("A grid search over 12 settings.", "GridSearchCV(m, grid)", (), []),
        ("A search of 30 trials.", "study.optimize(f, n_trials=3)", (), ["contradicted"]),
        ("A forest of 300 trees.", "RandomForestClassifier(n_estimators=5)", (), ["contradicted"]),
        ("A forest of 300 trees.", "RandomForestClassifier(n_estimators=300)", (), []),
        ("Trained for 6 epochs.", "for ep in range(2):\n    m.partial_fit(x, y)", (), ["contradicted"]),
        ("Trained for 6 epochs.", "for e in range(2):\n    print(e)", (), []),
        ("Trained for 9 epochs.", "for epoch in range(9):\n    f()\n    if epoch == 2: break", (), ["contradicted"]),
        ("Trained for 9 epochs.", "for epoch in range(9):\n    f()\n    if epoch == 8: break", (), []),
        ("Trained for 9 epochs.", "for epoch in range(9):\n    if f() > 3: break", (), []),
        ("It used seed 7.", "MLPClassifier(random_state=3)", (), ["contradicted"]),
        ("It used seed 7.", "MLPClassifier(random_state=7)", (), []),
        ("It used seed 7.", "SEEDS = [3, 7]\nMLPClassifier(random_state=3)", (), []),
        ("It used seed 7.", "torch.manual_seed(args.seed)", ("seed torch.manual_seed 3",), ["contradicted"]),
        ("It used seed 7.", "torch.manual_seed(args.seed)", (), []),
    ],
)
def test_an_amount_is_contradicted_only_where_it_is_known(
    answer: str, code: str, hints: tuple[str, ...], contradicted: list[str], tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(code)
    run = ran(tmp_path, text="done", hints=hints)
    verdict = asyncio.run(check_answer(answer, Observations(tmp_path, (tmp_path,), "", (run,), level="quick")))
    assert [one.state for one in verdict.claims if one.state == "contradicted"] == contradicted


@pytest.mark.parametrize(
    ("answer", "rows", "status"),
    [
        ("It was trained on all rows.", 3, "marked"),
        ("It was trained on all the rows of train.csv.", 3, "marked"),
        ("It was trained on all rows.", 4, "held"),
        ("It was trained on all rows of the first fold.", 3, "held"),
        ("It was trained on all rows of other.csv.", 3, "held"),
        ("It was trained with every feature.", 3, "held"),
    ],
)
def test_all_rows_are_those_of_the_training_file(answer: str, rows: int, status: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("m.fit(df.query('kind != 2'))")
    (tmp_path / "train.csv").write_text("x,kind\n" + "1,2\n" * 4)
    run = ran(tmp_path, text="done", opened=["train.csv"], hints=("start 3.12", f"fit SVC rows={rows}"))
    found = asyncio.run(check_answer(answer, Observations(tmp_path, (tmp_path,), "", (run,), level="quick")))
    assert found.status == status


@pytest.mark.parametrize(
    ("rows", "answer", "states"),
    [
        (3, "The predictions for all rows of test.csv are in predictions.csv.", ["contradicted"]),
        (3, "The predictions for all 8 test rows are in predictions.csv.", ["contradicted"]),
        (8, "The predictions for all rows of test.csv are in predictions.csv.", []),
        (7, "The predictions for all 8 test rows are in predictions.csv.", []),
        (3, "The predictions for all rows of test.csv are computed.", []),
    ],
)
def test_predictions_for_all_rows_are_as_many_as_the_rows(
    rows: int, answer: str, states: list[str], tmp_path: Path
) -> None:
    for name, count in (("test.csv", 8), ("predictions.csv", rows)):
        (tmp_path / name).write_text("id,y\n" + "1,0\n" * count)
    run = ran(tmp_path, text="done", opened=["test.csv"], written=["predictions.csv"])
    verdict = asyncio.run(check_answer(answer, Observations(tmp_path, (tmp_path,), "", (run,))))
    assert [one.state for one in verdict.claims if one.name == "row"] == states
