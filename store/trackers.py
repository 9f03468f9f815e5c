"""Read-only access to the databases of experiment trackers: trackio, by Hugging Face, and MLflow."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

_LATEST_RUN = "SELECT run_uuid FROM runs ORDER BY start_time DESC LIMIT 1"
_METRICS = f"SELECT step, key, value, is_nan FROM metrics WHERE run_uuid = ({_LATEST_RUN}) ORDER BY timestamp, step"  # noqa: S608


def mlflow_metrics(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the steps and metrics of the run in MLflow's database that started last. Raises sqlite3.DatabaseError."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        for step, name, value, is_nan in connection.execute(_METRICS):
            yield step, {name: float("nan") if is_nan else value}


def logged_rows(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the step and the values of each row, project by project; nothing if there are no databases."""
    for path in sorted(folder.glob("*.db")) if folder.is_dir() else ():
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                for step, text in connection.execute("SELECT step, metrics FROM metrics ORDER BY id"):
                    value = json.loads(text)
                    if isinstance(value, dict):
                        yield step, value
        except (sqlite3.DatabaseError, OSError, ValueError):  # incomplete, or from another program
            continue
