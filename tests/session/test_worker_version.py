"""A thread's process of an older version leaves the database of a newer one alone, and says why in one line."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psycopg

from ml_intern.store.store import Store
from tests.fakes.postgres import PostgresServer


def ran(command: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end."""
    return subprocess.run(
        command, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=60, env=environment, check=False
    )


async def test_a_database_of_a_newer_version_is_refused_in_one_line(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    async with await Store.open(tmp_path, url=url) as store:
        await store.threads.create(id="t")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE ml_intern.version SET number = number + 1")
    environment = {**os.environ, "ML_INTERN_HOME": str(tmp_path), "ML_INTERN_DATABASE": url}
    command = [sys.executable, "-m", "ml_intern.session.team.runner", "t"]
    ended = await asyncio.to_thread(ran, command, environment)
    (line,) = ended.stderr.splitlines()
    assert "written by a newer ml-intern" in line
    assert "upgrade ml-intern on this machine" in line
    assert ended.returncode == 78
