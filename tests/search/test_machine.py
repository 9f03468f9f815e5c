"""Failures of the machine: they end the search, and count against no attempt."""

import os
from pathlib import Path

import pytest

from ml_intern.configs.errors import TemporaryError
from ml_intern.search.running.machine import check_linked, linked_data


def test_data_that_the_user_changes_meanwhile_is_named(tmp_path: Path) -> None:
    data, environment = tmp_path / "data", tmp_path / ".venv"
    for folder in (data, environment):
        folder.mkdir()
        (folder / "rows.csv").write_text("1\n")
    places = (str(data), str(environment))
    before = linked_data(places)
    check_linked(before, places)
    (environment / "rows.csv").write_text("22\n")
    check_linked(before, places)
    os.utime(data / "rows.csv", (1, 1))
    with pytest.raises(TemporaryError, match="data was changed after the baseline was measured"):
        check_linked(before, places)
