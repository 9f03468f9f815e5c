"""The jobs of the fake Hub: each really runs its command on this machine, in a folder and process group of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.fakes.hub import sandboxes
from tests.fakes.hub.repositories import moment

if TYPE_CHECKING:
    from tests.fakes.hub.server import FakeHub

HARDWARE = (
    ("cpu-basic", "2 vCPU", "16 GB", None, 167),
    ("cpu-upgrade", "8 vCPU", "32 GB", None, 500),
    ("t4-small", "4 vCPU", "15 GB", ("T4", "1", "16 GB"), 6667),
    ("a10g-small", "4 vCPU", "15 GB", ("A10G", "1", "24 GB"), 16667),
    ("a100-large", "12 vCPU", "142 GB", ("A100", "1", "80 GB"), 41667),
)
"""Name, CPU, memory, accelerator (model, number, memory), price in millionths of a dollar a minute."""
DEFAULT_SECONDS = 1800
ENDED = ("COMPLETED", "ERROR", "CANCELED", "DELETED")
_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "UV_CACHE_DIR", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "TMPDIR")
_POLL = 0.02


@dataclass
class Line:
    """A line of a job's log."""

    text: str
    time: datetime

    def event(self) -> dict[str, str]:
        return {"data": self.text, "timestamp": moment(self.time)}


@dataclass
class Job:
    """A job, its process and its log. Only Jobs changes its stage."""

    id: str
    namespace: str
    spec: dict[str, Any]
    created: datetime
    stage: str = "SCHEDULING"
    message: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    lines: list[Line] = field(default_factory=list[Line])
    process: subprocess.Popen[bytes] | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def ended(self) -> bool:
        return self.stage in ENDED

    @property
    def exit_code(self) -> int | None:
        return self.process.returncode if self.process else None

    def wait(self, seconds: float = 60) -> str:
        """Its stage once it has ended."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.ended, seconds), f"job {self.id} is still {self.stage}"
        return self.stage

    def log(self) -> str:
        """All it wrote."""
        return "\n".join(line.text for line in self.lines)

    def add(self, text: str) -> None:
        with self.changed:
            self.lines.append(Line(text, datetime.now(UTC)))
            self.changed.notify_all()

    def become(self, stage: str, message: str | None = None) -> None:
        with self.changed:
            if self.ended:
                return
            self.stage, self.message, now = stage, message, datetime.now(UTC)
            self.started = now if stage == "RUNNING" else self.started
            self.finished = now if self.ended else None
            self.changed.notify_all()

    def lines_from(self, index: int, seconds: float) -> list[Line]:
        """The lines from `index` on, waiting for one."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.lines) > index or self.ended, seconds)
            return self.lines[index:]


class Jobs:
    """All jobs. `stuck` hardware never starts a job; `schedule_seconds` is how long others wait before they do."""

    def __init__(self, hub: "FakeHub", folder: Path | None = None) -> None:
        self.hub = hub
        self.found: dict[str, Job] = {}
        self.scheduled: dict[str, dict[str, Any]] = {}
        self.stuck: set[str] = set()
        self.schedule_seconds = 0.0
        self.filters_labels = True
        """False: the list ignores the label filter, as an older server or a proxy does."""
        self.cut_logs_after: list[int] = []
        """Each log stream that is opened breaks after so many lines, while there are numbers left."""
        self.buckets: dict[str, dict[str, bytes]] = {}
        """Bucket id -> path -> content; mounted into jobs."""
        self.processes: dict[str, dict[str, tuple[subprocess.Popen[bytes], dict[str, Any]]]] = {}
        """Of sandboxes: job id -> process id -> the process and what it was started with."""
        self._folder = folder
        self._own_folder = folder is None
        self._threads: list[threading.Thread] = []

    @property
    def folder(self) -> Path:
        """Where jobs run, one folder each."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="fake-hub-jobs-"))
        return self._folder

    def start(self, namespace: str, spec: dict[str, Any]) -> Job:
        """Run a job of this specification."""
        job = Job(uuid4().hex[:24], namespace, spec, datetime.now(UTC))
        self.found[job.id] = job
        thread = threading.Thread(target=self._run, args=(job,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return job

    def cancel(self, job: Job) -> None:
        """End it now."""
        job.become("CANCELED")
        self._kill(job)
        for process, _ in self.processes.get(job.id, {}).values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def running(self) -> list[Job]:
        """Those that have not ended."""
        return [job for job in self.found.values() if not job.ended]

    def close(self) -> None:
        """End every job and remove the folder, when it is its own."""
        for job in self.running():
            self.cancel(job)
        for thread in self._threads:
            thread.join(10)
        if self._own_folder and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, job: Job) -> None:
        if job.spec.get("flavor") in self.stuck:
            with job.changed:
                job.changed.wait_for(lambda: job.ended)
            return
        with job.changed:
            job.changed.wait_for(lambda: job.ended, self.schedule_seconds)
        if not job.ended:
            self._execute(job)

    def _execute(self, job: Job) -> None:
        place = self.folder / job.id
        place.mkdir(parents=True)
        mounts = dict(self._mounts(job, place))
        command = [
            _mounted(word, mounts) for word in [*(job.spec.get("command") or []), *(job.spec.get("arguments") or [])]
        ]
        if sandboxes.is_sandbox(job.spec):
            command = ["sleep", "infinity"]
        job.become("RUNNING")
        job.add(f"===== Job started at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} =====")
        try:
            job.process = subprocess.Popen(
                command,
                cwd=place,
                env=self.environment(job, place, mounts),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            job.add(f"exec: {error}")
            job.become("ERROR", f"Job failed to start: {error.strerror}")
            return
        limit = threading.Timer(job.spec.get("timeoutSeconds") or DEFAULT_SECONDS, self.time_out, (job,))
        limit.daemon = True
        limit.start()
        if job.ended:
            self._kill(job)
        self._read(job)
        code = job.process.wait()
        self._keep(job, mounts)
        limit.cancel()
        job.become("COMPLETED" if code == 0 else "ERROR", None if code == 0 else f"Job failed with exit code: {code}")

    def _read(self, job: Job) -> None:
        assert job.process is not None
        assert job.process.stdout is not None
        with job.process.stdout as lines:
            for line in lines:
                job.add(line.decode("utf-8", "replace").rstrip("\n"))

    def time_out(self, job: Job) -> None:
        job.become("ERROR", "Job timeout")
        self._kill(job)

    def _kill(self, job: Job) -> None:
        for _ in range(100):
            if job.process is None:
                return
            try:
                os.killpg(job.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            time.sleep(_POLL)

    def _mounts(self, job: Job, place: Path) -> Iterator[tuple[str, str]]:
        """Buckets and repositories as folders: mount path -> folder."""
        for number, volume in enumerate(job.spec.get("volumes") or []):
            folder = place / f".mount{number}"
            folder.mkdir()
            for path, content in self._volume(volume).items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            yield volume["mountPath"], str(folder)

    def _keep(self, job: Job, mounts: dict[str, str]) -> None:
        """What a job wrote into its buckets stays there."""
        for volume in job.spec.get("volumes") or []:
            if volume["type"] == "bucket" and not volume.get("readOnly"):
                prefix = f"{volume['path'].strip('/')}/" if volume.get("path") else ""
                folder = Path(mounts[volume["mountPath"]])
                for path in (path for path in folder.rglob("*") if path.is_file()):
                    files = self.buckets.setdefault(volume["source"], {})
                    files[prefix + path.relative_to(folder).as_posix()] = path.read_bytes()

    def _volume(self, volume: dict[str, Any]) -> dict[str, bytes]:
        prefix = f"{volume['path'].strip('/')}/" if volume.get("path") else ""
        if volume["type"] == "bucket":
            files = self.buckets.get(volume["source"], {})
        else:
            repository = self.hub.repository(f"{volume['type']}s", volume["source"])
            files = {path: blob.content for path, blob in repository.files.items()}
        return {path.removeprefix(prefix): content for path, content in files.items() if path.startswith(prefix)}

    def environment(self, job: Job, place: Path, mounts: Mapping[str, str]) -> dict[str, str]:
        """What the processes of a job find; `place` is their home."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
        given = {**(job.spec.get("environment") or {}), **(job.spec.get("secrets") or {})}
        own = {
            "HOME": str(place),
            "PATH": path,
            "UV_PYTHON": sys.executable,
            "JOB_ID": job.id,
            "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(place / ".hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "PYTHONUNBUFFERED": "1",
        }
        return {**kept, **own, **{name: _mounted(str(value), mounts) for name, value in given.items()}}


def _mounted(word: str, mounts: Mapping[str, str]) -> str:
    """A job has no container: what names a mount path names the folder instead."""
    for path, folder in mounts.items():
        word = word.replace(path, folder)
    return word
