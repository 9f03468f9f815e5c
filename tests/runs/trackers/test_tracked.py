"""The metrics that trackers write are read. The files in `written` are from W&B 0.31, MLflow 3.17, TensorBoard 2.21."""

import gzip
import math
from pathlib import Path

import pytest

from ml_intern.runs.metrics import Series, last_tracked, series_of
from ml_intern.runs.trackers.tracked import TRACKED

WRITTEN = Path(__file__).parent / "written"
PLACES = {
    "run-mlp.wandb": "wandb/offline-run-1/run-mlp.wandb",
    "mlflow.db": "mlflow.db",
    "loss": "mlruns/0/5f/metrics/train/loss",
    "events.out.tfevents.1.box": "logs/events.out.tfevents.1.box",
}


def place(run: Path, name: str, *, bytes_left: int | None = None) -> None:
    """Put a file of a tracker where the copies of a run are."""
    path = run / TRACKED / PLACES[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.decompress((WRITTEN / f"{name}.gz").read_bytes())[:bytes_left])


def series(run: Path) -> Series:
    (run / "log.txt").write_text("train/loss=9\ntrain/loss=8\n")
    return series_of(run / "log.txt")


def rounded(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(step, round(value, 6)) for step, value in points]


def test_wandb(tmp_path: Path) -> None:
    place(tmp_path, "run-mlp.wandb")
    points = series(tmp_path).points
    assert rounded(points["train/loss"]) == [(step, round(1 / (step + 1), 6)) for step in range(40)]
    assert points["acc"] == [(step, step / 40) for step in range(40)]
    assert set(points) == {"train/loss", "acc", "big", "nan"}
    assert math.isnan(last_tracked(tmp_path)["nan"])


def test_a_file_that_is_still_written_is_read_up_to_its_last_whole_row(tmp_path: Path) -> None:
    place(tmp_path, "run-mlp.wandb", bytes_left=40_000)
    losses = series(tmp_path).points["train/loss"]
    assert 10 < len(losses) < 40
    assert rounded(losses)[-1] == (len(losses) - 1, round(1 / len(losses), 6))


def test_mlflow_of_the_run_that_started_last(tmp_path: Path) -> None:
    place(tmp_path, "mlflow.db")
    points = series(tmp_path).points
    assert points["train/loss"] == [(step, 1 / (step + 2)) for step in range(5)]
    assert points["acc"] == [(step, step / 5) for step in range(5)]
    assert math.isnan(last_tracked(tmp_path)["bad"])


def test_mlflow_without_a_database(tmp_path: Path) -> None:
    place(tmp_path, "loss")
    assert series(tmp_path).points == {"train/loss": [(step, 1 / (step + 1)) for step in range(5)]}


def test_tensorboard(tmp_path: Path) -> None:
    place(tmp_path, "events.out.tfevents.1.box")
    points = series(tmp_path).points
    assert rounded(points["train/loss"]) == [(step, round(1 / (step + 1), 6)) for step in range(5)]
    assert points["acc"] == [(step, step / 8) for step in range(5)]
    assert set(points) == {"train/loss", "acc"}


@pytest.mark.parametrize("name", PLACES)
def test_a_damaged_file_leaves_the_metrics_of_the_log(tmp_path: Path, name: str) -> None:
    (tmp_path / TRACKED / PLACES[name]).parent.mkdir(parents=True)
    (tmp_path / TRACKED / PLACES[name]).write_bytes(b"\xff\x00" * 40)
    assert series(tmp_path).points == {"train/loss": [(1.0, 9.0), (2.0, 8.0)]}
