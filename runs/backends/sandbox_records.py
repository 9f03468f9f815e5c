"""What is known here of each Hugging Face sandbox: whose it is, which process uses it, what it costs.

A record is a small file, written before the sandbox is created: with it, and nothing else, a later process finds and
ends what one that was killed left running.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from ml_intern.configs.paths import private_folder
from ml_intern.execution.output import write_private

FOLDER = "sandboxes"


@dataclass
class SandboxRecord:
    """A sandbox of a thread. `id` is our label of its job; times are seconds since the epoch, prices US dollars."""

    thread_id: str
    """The thread at the top of the tree of agents that uses it."""
    namespace: str
    hardware: str
    usd_per_minute: float | None
    """None: not known."""
    ledger_id: int
    job_id: str = ""
    """Empty until the Hub has answered."""
    ended: str = ""
    """Why there is no such sandbox any more, when the model was not told yet."""
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    pid_started: str = field(default_factory=lambda: _start_of(os.getpid()))
    id: str = field(default_factory=lambda: uuid4().hex)
    created: float = field(default_factory=time.time)

    @property
    def is_used(self) -> bool:
        """Whether the process that uses it lives. Of one on another machine that cannot be told: it may."""
        return self.host != socket.gethostname() or _start_of(self.pid) == self.pid_started

    def take(self) -> None:
        """This process uses it from now on."""
        self.host, self.pid, self.pid_started = socket.gethostname(), os.getpid(), _start_of(os.getpid())


class SandboxRecords:
    """The records of one data folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def save(self, record: SandboxRecord) -> None:
        """Write a record, in one step."""
        private_folder(self._folder)
        fresh = self._folder / f"{record.id}.new"
        write_private(fresh, json.dumps(asdict(record)))
        fresh.replace(self._folder / f"{record.id}.json")

    def delete(self, record: SandboxRecord) -> None:
        """Forget a sandbox."""
        (self._folder / f"{record.id}.json").unlink(missing_ok=True)

    def all(self) -> list[SandboxRecord]:
        """Every record, oldest first."""
        return sorted(self._read(), key=lambda record: record.created)

    def of(self, thread_id: str) -> list[SandboxRecord]:
        """Those of a thread, oldest first."""
        return [record for record in self.all() if record.thread_id == thread_id]

    def mirror(self, record: SandboxRecord) -> Path:
        """The folder for copies of its files."""
        return self._folder / record.id

    def _read(self) -> Iterator[SandboxRecord]:
        for path in self._folder.glob("*.json"):
            yield SandboxRecord(**json.loads(path.read_text("utf-8")))


def _start_of(pid: int) -> str:
    """When a process started, as the kernel counts; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""
