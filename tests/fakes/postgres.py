"""A PostgreSQL server of its own for a test run, on a socket in a temporary folder. Tests get a database each."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import psycopg
except ImportError:
    POSTGRES_REFUSED: tuple[type[Exception], ...] = ()
else:
    POSTGRES_REFUSED = (psycopg.IntegrityError,)
"""What PostgreSQL raises if a row breaks a rule of the schema."""


def missing() -> str:
    """Return what is missing to run PostgreSQL here, or ""."""
    if not POSTGRES_REFUSED:
        return "psycopg is not installed (the extra postgres)"
    if _programs() is None:
        return "PostgreSQL is not installed (Debian: postgresql)"
    return "" if os.geteuid() or _other_user() else "PostgreSQL does not run as root, and there is no user postgres"


def _programs() -> Path | None:
    """Return the folder with the programs of the newest version."""
    if (found := shutil.which("pg_ctl")) and shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


def _other_user() -> bool:
    try:
        return bool(pwd.getpwnam("postgres"))
    except KeyError:
        return False


class PostgresServer:
    """A running server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._as_user = [] if os.geteuid() else ["runuser", "-u", "postgres", "--"]

    def control(self, *words: str) -> None:
        """Run pg_ctl, and wait for it."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-s", *words)

    def create(self) -> None:
        """Create the files of the server."""
        if self._as_user:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "tests", "-E", "UTF8", "-N")

    def start(self) -> None:
        """Start the server. It is reached by the socket in its folder only."""
        options = f"-k {self.folder} -c listen_addresses= -c max_connections=200 -c fsync=off"
        self.control("-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server."""
        self.control("-m", mode, "stop")

    def url(self, name: str) -> str:
        """Return the address of a database."""
        return f"postgresql://tests@/{name}?host={self.folder}"

    def new_database(self) -> str:
        """Create a database and return its address."""
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _run(self, program: str, *words: str) -> None:
        folder = _programs()
        assert folder is not None
        command = [*self._as_user, str(folder / program), *words]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"})


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Run a server during the block."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = PostgresServer(folder)
    try:
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
