"""A store in a temporary folder, programs run as other processes, and direct queries of the file."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from textwrap import dedent

import pytest

from ml_intern.store.store import DATABASE_NAME, Store
from tests.fakes.postgres import POSTGRES_REFUSED

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a store on both databases, unless it is about SQLite's file."""
    if "engine" in metafunc.fixturenames:
        of_file = metafunc.definition.get_closest_marker("sqlite_file")
        metafunc.parametrize("engine", ["sqlite"] if of_file else ["sqlite", "postgres"], scope="session")


@pytest.fixture
def url(engine: str, request: pytest.FixtureRequest) -> str:
    """The address of a new database: "" for SQLite's file in the home."""
    return "" if engine == "sqlite" else request.getfixturevalue("postgres").new_database()


@pytest.fixture
async def store(home: Path, url: str) -> AsyncIterator[Store]:
    async with await Store.open(home, url=url) as opened:
        yield opened


def query(home: Path, statement: str) -> list[tuple[object, ...]]:
    """Return what another process reads from the database."""
    connection = sqlite3.connect(home / DATABASE_NAME, isolation_level=None)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


REFUSED: tuple[type[Exception], ...] = (sqlite3.IntegrityError, *POSTGRES_REFUSED)
"""What the databases raise if a row breaks a rule of the schema."""

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
