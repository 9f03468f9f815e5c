"""`schedule`: a due schedule runs its prompt in a new thread, once."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.commands.program import Program


def test_a_schedule_starts_a_thread_when_it_is_due(tmp_path: Path) -> None:
    program = Program(tmp_path)
    model = program.script({"text": "all runs finished"})
    added = program.run("schedule", "add", "0 7 * * 1", "check the runs", "--budget", "2", "-m", model, "--json")
    assert added.returncode == 0, added.stderr
    id = json.loads(added.stdout)["id"]
    with closing(sqlite3.connect(tmp_path / "home" / "threads.db", isolation_level=None)) as connection:
        connection.execute("UPDATE schedules SET due = ?", (time.time() - 1,))
    done = program.run("schedule", "run", "--once")
    assert f"schedule {id}: started thread" in done.stderr
    assert "ended with exit code 0" in done.stderr
    (row,) = json.loads(program.run("schedule", "list", "--json").stdout)
    shown = program.run("threads", "show", row["thread_id"]).stdout
    assert "check the runs" in shown
    assert "all runs finished" in shown
    assert "started thread" not in program.run("schedule", "run", "--once").stderr
    assert program.run("schedule", "remove", id).returncode == 0
    assert program.run("schedule", "remove", id).returncode == 2
