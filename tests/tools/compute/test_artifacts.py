"""A number is read from its source, and a missing one is refused."""

from pathlib import Path

import pytest

from ml_intern.execution.call import ToolError
from ml_intern.tools.compute.experiments import matches_rounded, read_number

FILES = {
    "a.json": '{"eval": {"scores": [{"f1": 0.5}, {"f1": 0.75}]}, "eval/acc": 0.9, "ok": true, "bad": NaN}',
    "b.jsonl": '{"loss": 2.0}\n{"loss": 1.5}\n{"eval_loss": 1.25}\nnot json\n',
    "c.csv": "epoch,acc\n1,0.5\n2,0.625\n",
    "d.log": "loss: 3.0\nstep 2 loss: 1.75 acc=0.5\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "where", "value"),
    [
        ("a.json", "eval.scores[1].f1", 0.75),
        ("a.json", "eval.scores[-1].f1", 0.75),
        ("a.json", "eval/acc", 0.9),
        ("b.jsonl", "loss", 1.5),
        ("b.jsonl", "eval_loss", 1.25),
        ("c.csv", "acc", 0.625),
        ("d.log", "loss", 1.75),
        ("d.log", "acc", 0.5),
    ],
)
def test_a_number_is_read_from_its_place(folder: Path, name: str, where: str, value: float) -> None:
    assert read_number(folder / name, where) == value


@pytest.mark.parametrize(
    ("name", "where", "expected"),
    [
        ("a.json", "eval.f1", "it has: scores"),
        ("a.json", "ok", "not a finite number"),
        ("a.json", "bad", "not a finite number"),
        ("b.jsonl", "f1", "no line of b.jsonl"),
        ("c.csv", "f1", "it has epoch, acc"),
        ("d.log", "f1", "no number follows"),
        ("none.json", "f1", "cannot read none.json"),
    ],
)
def test_a_missing_number_is_reported(folder: Path, name: str, where: str, expected: str) -> None:
    with pytest.raises(ToolError, match=expected):
        read_number(folder / name, where)


@pytest.mark.parametrize(
    ("claimed", "actual", "same"),
    [
        (0.97, 0.9731, True), (0.973, 0.9731, True), (0.98, 0.9731, False), (1, 0.97, False), (250, 249.7, True),
        (0.0, 0.0, True), (0, 0.4, False), (2e-5, 2e-5, True), (0.9731, 0.97310001, True), (-1.5, -1.52, True),
    ],
)  # fmt: skip
def test_a_rounded_number_matches_and_another_does_not(claimed: float, actual: float, *, same: bool) -> None:
    assert matches_rounded(claimed, actual) is same
