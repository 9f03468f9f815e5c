"""A store in a temporary folder, programs run as other processes, and direct queries of the file."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from textwrap import dedent

import pytest

from ml_intern.store.store import DATABASE_NAME, Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    async with await Store.open(home) as opened:
        yield opened


def query(home: Path, statement: str) -> list[tuple[object, ...]]:
    """Return what another process reads from the database."""
    connection = sqlite3.connect(home / DATABASE_NAME, isolation_level=None)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Start:
    """Start a Python program in a separate process with `home` and further arguments."""

    def run(program: str, *arguments: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", dedent(program), *map(str, arguments)]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return run


def finish(process: "subprocess.Popen[str]", said: str = "") -> str:
    """Wait for a program to end and return its output."""
    printed, _ = process.communicate(said, timeout=60)
    return printed


def read_line(process: "subprocess.Popen[str]") -> str:
    """Return the next line that a program prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
