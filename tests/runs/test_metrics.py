"""Numbers are pulled out of what trainers print, and nothing else is taken for one."""

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ml_intern.runs.metrics import MAX_POINTS, metrics_of, series_of, sparkline


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{'loss': 1.2, 'learning_rate': 2e-05, 'epoch': 0.5}", {"loss": 1.2, "learning_rate": 2e-05, "epoch": 0.5}),
        ("[rank0] {'eval_loss': '0.3', 'epoch': '1.0'}", {"eval_loss": 0.3, "epoch": 1.0}),
        ('{"step": 5, "loss": 0.25, "note": "fine"}', {"step": 5.0, "loss": 0.25}),
        ("epoch 3 loss=0.5", {"epoch": 3.0, "loss": 0.5}),
        ("Epoch 3/10 - loss: 0.25 - val_accuracy: 0.8", {"epoch": 3.0, "loss": 0.25, "val_accuracy": 0.8}),
        ("step 100 | loss 0.4 | lr 1e-4 | grad_norm 2", {"step": 100.0, "loss": 0.4, "lr": 1e-4, "grad_norm": 2.0}),
        ("loss=-inf", {"loss": -math.inf}),
    ],
)
def test_lines_of_trainers(line: str, found: dict[str, float]) -> None:
    assert metrics_of(line) == found


@pytest.mark.parametrize(
    "line",
    [
        "listening on port: 8080", "{'train_runtime': 5.0}", "step 100", "version=1.2.3", "loss=0.1.2", "",
        "{'loss': open('/etc/passwd'), 'n': 3}", "{" * 5000 + "1", "loss: none",
    ],
)  # fmt: skip
def test_other_lines_hold_no_metric(line: str) -> None:
    assert metrics_of(line) == {}


def test_the_course_of_a_long_run_is_thinned(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("".join(f"step {step} loss={1 / step}\n" for step in range(1, 10 * MAX_POINTS)))
    points = series_of(log).points["loss"]
    assert len(points) <= MAX_POINTS
    assert [step for step, _ in points] == sorted(step for step, _ in points)
    assert all(value == 1 / step for step, value in points)


def test_what_trackio_logged_is_read_from_its_database(tmp_path: Path) -> None:
    (tmp_path / "trackio").mkdir()
    (tmp_path / "log.txt").write_text("loss=9\nloss=8\n")
    with closing(sqlite3.connect(tmp_path / "trackio" / "project.db")) as connection:
        connection.execute("CREATE TABLE metrics (id INTEGER PRIMARY KEY, step INTEGER, metrics TEXT)")
        for step in range(3):
            connection.execute("INSERT INTO metrics (step, metrics) VALUES (?, ?)", (step, json.dumps({"loss": step})))
        connection.commit()
    (tmp_path / "trackio" / "other.db").write_bytes(b"no database")
    assert series_of(tmp_path / "log.txt").points == {"loss": [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]}


def test_a_sparkline_shows_first_and_last_and_leaves_out_what_is_not_finite() -> None:
    assert sparkline([8, 7, math.nan, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"
    assert sparkline([3, 3]) == "▁▁"
    assert sparkline([1]) == ""
    assert len(sparkline(range(1000))) == 30


def test_a_closing_line_without_a_step_belongs_to_the_last_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('step 10 loss=0.5\nstep 20 loss=0.25\n{"loss": 0.2, "eval_accuracy": 0.9}\n')
    points = series_of(log).points
    assert points["loss"] == [(10.0, 0.5), (20.0, 0.25), (20.0, 0.2)]
    assert points["eval_accuracy"] == [(20.0, 0.9)]
