"""The metrics of a run from the files of its tracker: the first of trackio, W&B, MLflow and TensorBoard with any."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ml_intern.runs.run_folder import TRACKIO
from ml_intern.runs.trackers.mlflow import FOLDER, file_metrics
from ml_intern.runs.trackers.tensorboard import scalars
from ml_intern.runs.trackers.wandb_files import history
from ml_intern.store.trackers import logged_rows, mlflow_metrics

TRACKED = "tracked"
"""The folder of a run for copies of the files that its trackers wrote."""

StepValues = tuple[int, dict[str, Any]]
"""A step and the values logged at it."""

TRACKERS: Final[tuple[tuple[str, Callable[[Path], Iterator[StepValues]]], ...]] = (
    ("**/run-*.wandb", history),
    ("**/mlflow.db", mlflow_metrics),
    (f"**/{FOLDER}/*/*/metrics/**/*", file_metrics),
    ("**/events.out.tfevents.*", scalars),
)
"""The files of each tracker, and what reads one of them."""


def tracked_rows(folder: Path) -> Iterator[StepValues]:
    """Yield the rows of the first tracker that has any, from the folder of a run. Damaged files end where they are."""
    sources = [logged_rows(folder / TRACKIO)]
    sources += [_rows(folder / TRACKED, pattern, read) for pattern, read in TRACKERS]
    for source in sources:
        first = next(source, None)
        if first is not None:
            yield from itertools.chain([first], source)
            return


def _rows(folder: Path, pattern: str, read: Callable[[Path], Iterator[StepValues]]) -> Iterator[StepValues]:
    for path in sorted(path for path in folder.glob(pattern) if path.is_file()):
        try:
            yield from read(path)
        except (sqlite3.DatabaseError, OSError, ValueError):  # incomplete, or from another program
            continue
