"""The values of an experiment, and the databases of trackio."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from ml_intern.store.experiments import ExperimentRow
from ml_intern.store.trackers import logged_rows


def test_recorded_values_take_precedence_over_the_log_and_values_that_are_not_finite_are_left_out() -> None:
    recorded = {"accuracy": {"value": 0.9, "source": "eval.json"}}
    logged = {"accuracy": 0.8, "loss": 0.25, "epoch": 3, "grad": "NaN"}
    row = ExperimentRow("e", "t", "t", metrics=json.dumps(recorded), run_metrics=json.dumps(logged))
    assert row.values == {"accuracy": 0.9, "loss": 0.25, "epoch": 3}


def test_rows_of_trackio_come_project_by_project_and_a_missing_folder_has_none(tmp_path: Path) -> None:
    assert list(logged_rows(tmp_path / "missing")) == []
    for name in ("b", "a"):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as connection, connection:
            connection.execute("CREATE TABLE metrics (id INTEGER PRIMARY KEY, step INTEGER, metrics TEXT)")
            connection.executemany(
                "INSERT INTO metrics (step, metrics) VALUES (?, ?)", [(1, f'{{"{name}": 1}}'), (2, "[]")]
            )
    (tmp_path / "broken.db").write_text("not a database")
    assert list(logged_rows(tmp_path)) == [(1, {"a": 1}), (1, {"b": 1})]
