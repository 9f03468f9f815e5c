"""Local records of Hugging Face sandboxes: the thread, the process that uses each one, and the price.

A record is a small file, written before its sandbox is created. A later process uses it to find and end a sandbox
that a killed process left running.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from ml_intern.configs.paths import private_folder, replace_file

FOLDER = "sandboxes"


@dataclass
class SandboxRecord:
    """A sandbox of a thread. `id` is the label of its job. Times are in seconds since the epoch, prices in USD."""

    thread_id: str
    """The root thread of the agents that use it."""
    namespace: str
    hardware: str
    usd_per_minute: float | None
    """None when unknown."""
    ledger_id: int
    job_id: str = ""
    """Empty until the Hub has answered."""
    ended: str = ""
    """Why the sandbox ended, until this is reported to the model; "" while it exists."""
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    pid_started: str = field(default_factory=lambda: _start_of(os.getpid()))
    id: str = field(default_factory=lambda: uuid4().hex)
    created: float = field(default_factory=time.time)

    @property
    def is_used(self) -> bool:
        """Whether the process that uses it is alive. A process on another machine is assumed to be."""
        return self.host != socket.gethostname() or _start_of(self.pid) == self.pid_started

    def take(self) -> None:
        """Make this process the user of the sandbox."""
        self.host, self.pid, self.pid_started = socket.gethostname(), os.getpid(), _start_of(os.getpid())


class SandboxRecords:
    """The records of one data folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def save(self, record: SandboxRecord) -> None:
        """Write a record atomically."""
        private_folder(self._folder)
        replace_file(self._folder / f"{record.id}.json", json.dumps(asdict(record)))

    def delete(self, record: SandboxRecord) -> None:
        """Delete a record."""
        (self._folder / f"{record.id}.json").unlink(missing_ok=True)

    def all(self) -> list[SandboxRecord]:
        """Return all records, oldest first."""
        return sorted(self._read(), key=lambda record: record.created)

    def of(self, thread_id: str) -> list[SandboxRecord]:
        """Return the records of a thread, oldest first."""
        return [record for record in self.all() if record.thread_id == thread_id]

    def mirror(self, record: SandboxRecord) -> Path:
        """Return the folder for copies of the sandbox's files."""
        return self._folder / record.id

    def _read(self) -> Iterator[SandboxRecord]:
        for path in self._folder.glob("*.json"):
            yield SandboxRecord(**json.loads(path.read_text("utf-8")))


def _start_of(pid: int) -> str:
    """Return the start time of a process in clock ticks; "" when it does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""
