"""Facts on data: rows, groups and times in two splits, columns that state the target."""

import csv
import json
import random
from pathlib import Path

import pytest

from ml_intern.evidence.code.check import read_code
from ml_intern.evidence.overlap.check import check_features, check_imbalance, check_splits, check_table
from ml_intern.evidence.overlap.script import check_data

COLUMNS = ["x1", "x2", "x3", "x4", "x5", "x6", "y"]
WORDS = ("loss", "gradient", "batch", "epoch", "rate", "token", "layer", "weight", "bias", "label", "score", "model")
Table = list[list[object]]


def table(rows: int, seed: int) -> Table:
    rng = random.Random(seed)
    return [[*(round(rng.gauss(0, 1), 4) for _ in range(6)), rng.randint(0, 1)] for _ in range(rows)]


def save(path: Path, rows: Table, columns: list[str] | None = None) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns or COLUMNS, *rows])
    return path


def rules(train: Path, test: Path) -> list[str]:
    return [one.rule for one in check_splits(train, test)]


def test_independent_splits_have_no_findings(tmp_path: Path) -> None:
    assert rules(save(tmp_path / "train.csv", table(400, 1)), save(tmp_path / "test.csv", table(200, 2))) == []


def test_equal_rows_are_counted(tmp_path: Path) -> None:
    train = table(400, 1)
    (found,) = check_splits(
        save(tmp_path / "train.csv", train), save(tmp_path / "test.csv", [*table(190, 2), *train[:10]])
    )
    assert (found.rule, found.path) == ("rows-in-both-splits", "test.csv")
    assert found.message == "10 of 200 rows also stand in train.csv (5.0%)"


def test_equal_rows_with_other_row_numbers_are_counted(tmp_path: Path) -> None:
    train = table(400, 1)
    numbered = [[at, *row] for at, row in enumerate(train)]
    test = [[1000 + at, *row] for at, row in enumerate([*table(190, 2), *train[:10]])]
    columns = ["id", *COLUMNS]
    found = rules(save(tmp_path / "train.csv", numbered, columns), save(tmp_path / "test.csv", test, columns))
    assert found == ["rows-in-both-splits"]


def test_moved_rows_are_found_also_with_one_changed_column(tmp_path: Path) -> None:
    train, rng = table(400, 1), random.Random(5)
    moved: Table = [
        [round(float(str(cell)) + rng.gauss(0, 0.01), 4) for cell in row[:-1]] + row[-1:] for row in train[:40]
    ]
    for row in moved[:10]:
        row[5] = 9.0
    (found,) = check_splits(save(tmp_path / "train.csv", train), save(tmp_path / "test.csv", [*table(160, 2), *moved]))
    assert found.rule == "near-copies-in-both-splits"
    assert int(found.message.split()[0]) >= 38


def test_rows_of_few_values_repeat_by_chance(tmp_path: Path) -> None:
    rng = random.Random(3)
    few: Table = [[rng.randint(0, 2) for _ in range(7)] for _ in range(3000)]
    assert rules(save(tmp_path / "train.csv", few[:2000]), save(tmp_path / "test.csv", few[2000:])) == []


def text(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(20))


def test_texts_with_some_changed_words_are_found(tmp_path: Path) -> None:
    rng = random.Random(4)
    train, test = [text(rng) for _ in range(300)], [text(rng) for _ in range(100)]
    changed = [" ".join("other" if at == 9 else word for at, word in enumerate(one.split())) for one in train[:20]]

    def write(name: str, texts: list[str]) -> Path:
        (tmp_path / name).write_text(
            "".join(json.dumps({"text": one, "label": at % 2}) + "\n" for at, one in enumerate(texts))
        )
        return tmp_path / name

    assert rules(write("train.jsonl", train), write("test.jsonl", test)) == []
    (found,) = check_splits(write("train.jsonl", train), write("other.jsonl", [*test[20:], *changed]))
    assert found.message == "20 rows of 100 nearly equal rows of train.jsonl (20.0%)"


def patients(first: int, last: int) -> Table:
    return [[f"p{number}", *row] for number in range(first, last) for row in table(10, number)]


def test_groups_in_both_files_are_counted(tmp_path: Path) -> None:
    columns = ["patient_id", *COLUMNS]
    train = save(tmp_path / "train.csv", patients(0, 20), columns)
    assert rules(train, save(tmp_path / "other.csv", patients(20, 30), columns)) == []
    mixed = [row for number, row in enumerate(patients(10, 30)) if number % 10 == 0]
    for row in mixed:
        row[1], row[2] = 7.5, 8.5
    (found,) = check_splits(train, save(tmp_path / "test.csv", mixed, columns))
    assert found.message == "10 of 20 rows share their 'patient_id' with rows in train.csv"


def test_a_table_with_groups_or_times_that_is_split_by_rows(tmp_path: Path) -> None:
    grouped = save(tmp_path / "patients.csv", patients(0, 20), ["patient", *COLUMNS])
    (found,) = check_table(grouped, "random", "train.py", 12)
    assert found.text == (
        "train.py:12: patients.csv is split by rows, and 'patient' has 20 values in 200 rows [groups-in-both-splits]"
    )
    assert check_table(grouped, "group") == []
    series = save(tmp_path / "series.csv", [[day, *row] for day, row in enumerate(table(100, 1))], ["day", *COLUMNS])
    assert [one.rule for one in check_table(series, "random")] == ["times-in-both-splits"]
    assert check_table(series, "order") == []


def test_a_column_that_states_the_target_is_named_if_it_is_a_feature(tmp_path: Path) -> None:
    rows = table(400, 1)
    rng = random.Random(7)
    stated: Table = [[*row[:-1], row[-1] if rng.random() < 0.98 else 1, row[-1]] for row in rows]
    path = save(tmp_path / "train.csv", stated, [*COLUMNS[:-1], "settled", "y"])
    (found,) = check_features(path, ":-1", "X = d[:, :-1]")
    assert found.message.startswith("the feature 'settled' alone gives 'y'")
    assert check_features(path, ":-2", "X = d[:, :-2]") == []
    assert check_features(path, "", 'X = d.drop(columns=["settled", "y"])') == []
    assert len(check_features(path, "", 'X = d.drop(columns=["y"])')) == 1
    assert check_features(save(tmp_path / "other.csv", rows), ":-1", "") == []


SCRIPT = """import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import {name}
d = np.genfromtxt("patients.csv", delimiter=",", skip_header=1); X, y, g = d[:, 1:-1], d[:, -1], d[:, 0]
{split}
m = RandomForestClassifier().fit(X[a], y[a])
print(m.score(X[b], y[b]))
"""
RANDOM = "a, b = train_test_split(np.arange(len(X)), test_size=0.3)"
GROUPED = "a, b = next(GroupShuffleSplit(1, test_size=0.3).split(X, y, g))"


@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [("train_test_split", RANDOM, ["groups-in-both-splits"]), ("GroupShuffleSplit", GROUPED, [])],
)
def test_the_data_of_a_script_is_checked_by_how_it_splits_them(
    tmp_path: Path, name: str, split: str, expected: list[str]
) -> None:
    save(tmp_path / "patients.csv", patients(0, 20), ["patient", *COLUMNS])
    source = SCRIPT.format(name=name, split=split)
    found = check_data(read_code(source, "train.py"), source, "train.py", tmp_path)
    assert [one.rule for one in found] == expected


def test_the_files_of_a_script_are_compared(tmp_path: Path) -> None:
    train = table(400, 1)
    save(tmp_path / "train.csv", train)
    save(tmp_path / "test.csv", [*table(190, 2), *train[:10]])
    source = (
        "import pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n"
        "a, b = pd.read_csv('train.csv'), pd.read_csv('test.csv')\n"
        "m = LogisticRegression().fit(a.drop(columns='y'), a['y'])\nprint(m.score(b.drop(columns='y'), b['y']))\n"
    )
    found = check_data(read_code(source, "train.py"), source, "train.py", tmp_path)
    assert [one.rule for one in found] == ["rows-in-both-splits"]


def test_imbalance_matters_for_accuracy_only(tmp_path: Path) -> None:
    rare: Table = [[*row[:-1], int(at % 25 == 0)] for at, row in enumerate(table(500, 1))]
    path = save(tmp_path / "test.csv", rare)
    (found,) = check_imbalance(path, "accuracy")
    assert found.message == "the class '0' has 96.0% of the rows: always answering it has that accuracy"
    assert check_imbalance(path, "recall") == []
    assert check_imbalance(save(tmp_path / "even.csv", table(500, 2)), "accuracy") == []


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    good = save(tmp_path / "train.csv", table(10, 1))
    for name, content in (("a.bin", b"\0"), ("empty.csv", b""), ("bad.jsonl", b"{"), ("gone.csv", None)):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        (found,) = check_splits(good, path)
        assert found.rule == "not-checked", name
    (tmp_path / "odd.csv").write_bytes(b"\xff\xfe,a\n1\n\n1,2,3\n")
    check_splits(good, tmp_path / "odd.csv")


def test_parquet_is_read_where_pyarrow_is_installed(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    rows = table(100, 1)
    columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    for name in ("train.parquet", "test.parquet"):
        parquet.write_table(arrow.table({key: list(cells) for key, cells in columns.items()}), tmp_path / name)
    assert rules(tmp_path / "train.parquet", tmp_path / "test.parquet") == ["rows-in-both-splits"]
