"""A server or worker whose database cannot be reached says so in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("command", ["web", "serve", "worker"])
def test_a_database_that_cannot_be_reached_is_one_line(command: str, tmp_path: Path) -> None:
    database = {"ML_INTERN_DATABASE": "postgresql://tests:secret@127.0.0.1:1/x", "ML_INTERN_HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-m", "ml_intern", command],
        check=False,
        env=os.environ | database,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 75
    assert ran.stdout == ""
    assert ran.stderr.startswith("ml-intern: the database x on 127.0.0.1 cannot be reached")
    assert ran.stderr.count("\n") == 1
    assert "secret" not in ran.stderr
