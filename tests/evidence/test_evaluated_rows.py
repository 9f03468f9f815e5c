"""A metric on a part of the test rows is named, if the answer does not say so."""

import asyncio
from pathlib import Path

import pytest

from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.observations import Observations
from tests.evidence.test_gate import ran

ANSWER = "The accuracy on test.csv is 0.8125."
CODE = """from sklearn.metrics import accuracy_score
x, y = rows("train.csv")
a, b = rows("test.csv")
print(accuracy_score(b, model.predict(a)))
for part in parts:
    print(accuracy_score(part.y, model.predict(part.x)))
"""


def rules(folder: Path, answer: str, *hints: str, code: str = CODE, test: str = "y\n", **more: str) -> list[str]:
    """Return the findings on an answer about a test file of 200 rows."""
    (folder / "train.csv").write_text("x,y\n" + "1,0\n" * 400)
    (folder / "test.csv").write_text(f"x,{test}" + "1,0\n" * 200)
    (folder / "train.py").write_text(code)
    reports = tuple(one.format(place=folder / "train.py") for one in ("start 3.12", *hints))
    run = ran(folder, text="accuracy=0.8125", opened=["train.csv", "test.csv"], hints=reports, **more)
    found = asyncio.run(check_answer(answer, Observations(folder, (folder,), "", (run,))))
    return [one.text for one in found.findings]


@pytest.mark.parametrize("rows", [50, 120, 189])
def test_a_part_of_the_test_rows_is_named(rows: int, tmp_path: Path) -> None:
    assert rules(tmp_path, ANSWER, f"metric rows={rows} lines=4 {{place}}") == [
        f"train.py:4: the metric is computed on {rows} rows of test.csv, which has 200 [part-of-test-rows]"
    ]


@pytest.mark.parametrize(
    ("answer", "hints"),
    [
        (ANSWER, ()),
        (ANSWER, ("metric rows=200 lines=4 {place}",)),
        (ANSWER, ("metric rows=50 lines=4 {place}", "metric rows=200 lines=4 {place}")),
        (ANSWER, ("metric rows=198 lines=4 {place}",)),
        (ANSWER, ("metric rows=32 lines=6 {place}",)),
        (ANSWER, ("metric rows=50 lines=4 /elsewhere/train.py",)),
        ("The accuracy on 50 rows of test.csv is 0.8125.", ("metric rows=50 lines=4 {place}",)),
        ("The accuracy on the confident rows of test.csv is 0.8125.", ("metric rows=50 lines=4 {place}",)),
        ("The accuracy per patient of test.csv is 0.8125.", ("metric rows=50 lines=4 {place}",)),
        ("The validation accuracy is 0.8125.", ("metric rows=50 lines=4 {place}",)),
    ],
    ids=["none", "all", "twice", "few", "loop", "elsewhere", "said", "words", "groups", "validation"],
)
def test_nothing_is_said_of_all_rows_of_batches_and_of_what_the_answer_says(
    answer: str, hints: tuple[str, ...], tmp_path: Path
) -> None:
    assert rules(tmp_path, answer, *hints) == []


def test_nothing_is_said_where_the_files_or_the_labels_are_unknown(tmp_path: Path) -> None:
    report = "metric rows=50 lines=4 {place}"
    assert rules(tmp_path, ANSWER, report, missed="too many files") == []
    assert rules(tmp_path, ANSWER, report, test="z\n") == []


def test_a_metric_on_other_rows_is_not_one_on_test_rows(tmp_path: Path) -> None:
    code = (
        "import pandas as pd\nx, y = pd.read_csv('train.csv'), pd.read_csv('test.csv')\n"
        "a, b = train_test_split(x)\nm = SVC().fit(a[['x']], a['y'])\n"
        "print(accuracy_score(b['y'], m.predict(b[['x']])))\nprint((m.predict(y[['x']]) == y['y']).mean())\n"
    )
    assert rules(tmp_path, ANSWER, "metric rows=100 lines=5 {place}", code=code) == []


def test_a_model_that_always_answers_leaves_no_rows_out(tmp_path: Path) -> None:
    code = (
        "import pandas as pd\nx, y = pd.read_csv('train.csv'), pd.read_csv('test.csv')\n"
        "m = SVC(probability=True).fit(x[['x']], x['y'])\n"
        "made = [one.argmax() if one.max() > 0.5 else None for one in m.predict_proba(y[['x']])]\n"
        "pairs = [(a, b) for a, b in zip(made, y['y']) if a is not None]\n"
        "print(accuracy_score([b for _, b in pairs], [a for a, _ in pairs]))\n"
    )
    assert rules(tmp_path, ANSWER, "metric rows=200 lines=6 {place}", code=code) == []
    (found,) = rules(tmp_path, ANSWER, code=code)
    assert found.endswith("[test-rows-selected]")
