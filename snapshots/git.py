"""Run git on a shadow repository whose work tree is the user's folder. snapshots.trees decides what it stores.

git runs in a sandbox, in which only the shadow repository is writable.
"""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ml_intern.configs.paths import private_folder
from ml_intern.sandbox.git.reader import kill_git, open_git
from ml_intern.store.lock import open_lock_file, try_lock

SECONDS = 120.0
"""Limit for one git command."""
LISTING_SECONDS = 20.0
LOCK_STEP = 0.01
CHUNK_BYTES = 1 << 20
PREFETCHED = 500
IGNORE_SOME = "add the files that undo need not restore to .gitignore"
_INHERITED_VARIABLES = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# Overrides the user's .gitattributes (conversions, filters, encodings), so that files are restored byte for byte.
_ATTRIBUTES = "* -text -filter -ident !eol !working-tree-encoding\n"
_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = false
\tlogallrefupdates = false
\tautocrlf = false
\tcompression = 1
\tprotectNTFS = false
\tprotectHFS = false
\tfsmonitor = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
[gc]
\tauto = 0
[maintenance]
\tauto = false
[commit]
\tgpgSign = false
"""


class SnapshotError(Exception):
    """A snapshot could not be taken or restored. `why` and `remedy` are shown to the user."""

    def __init__(self, why: str, remedy: str = "", *, permanent: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy
        self.permanent = permanent
        """The problem affects every turn of this session."""


def too_many_files(limit: int) -> SnapshotError:
    """Return the error for a workspace with more than `limit` files."""
    return SnapshotError(f"the workspace has more than {limit:,} files", IGNORE_SOME, permanent=True)


@dataclass
class GitProcesses:
    """Kills the git processes of a session when it closes; later ones are killed at once."""

    _running: set["subprocess.Popen[bytes]"] = field(default_factory=set["subprocess.Popen[bytes]"])
    _guard: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False

    def kill_all(self) -> None:
        """Kill the running processes and every later one."""
        with self._guard:
            self.closed = True
            for process in self._running:
                kill_git(process)

    def add(self, process: "subprocess.Popen[bytes]") -> None:
        """Register a process that was just started."""
        with self._guard:
            self._running.add(process)
            if self.closed:
                kill_git(process)

    def remove(self, process: "subprocess.Popen[bytes]") -> None:
        """Unregister a process that has ended."""
        with self._guard:
            self._running.discard(process)


@dataclass
class ShadowGit:
    """git with `folder` as its GIT_DIR and `root` as its work tree, isolated from the user's configuration.

    The methods block: call them in a thread, inside `locked`. They raise SnapshotError when git fails.
    """

    folder: Path
    root: Path
    index: Path
    ignore_file: str = ""
    """The user's core.excludesFile, if set."""
    processes: GitProcesses = field(default_factory=GitProcesses)
    _lock: tuple[int, ...] = ()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the repository against other sessions. A git that may outlive this process inherits the lock."""
        private_folder(self.folder)
        descriptor = open_lock_file(self.folder / "lock")
        try:
            self._acquire(descriptor)
            self._lock = (descriptor,)
            try:
                self.index.with_name(f"{self.index.name}.lock").unlink(missing_ok=True)  # left by a killed git
                yield
            finally:
                self._lock = ()
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int) -> None:
        for _ in range(int(SECONDS / LOCK_STEP)):
            if try_lock(descriptor):
                return
            if self.processes.closed:
                raise SnapshotError("the session was closed")
            time.sleep(LOCK_STEP)
        raise SnapshotError("another session is using the snapshots of this folder", "try again")

    def create(self, workspace: str, excludes: str) -> None:
        """Create the repository if it is missing and write the ignore patterns used besides .gitignore files."""
        for name in ("objects/info", "objects/pack", "refs", "info"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        texts = {"HEAD": "ref: refs/heads/none\n", "config": _CONFIG, "info/attributes": _ATTRIBUTES}
        for name, text in {**texts, "info/exclude": excludes, "workspace": workspace}.items():
            path = self.folder / name
            if not path.is_file() or path.read_text(errors="surrogateescape") != text:
                path.write_text(text, errors="surrogateescape")

    def run(self, *arguments: str, stdin: bytes = b"", ok: Sequence[int] = (0,), root: Path | None = None) -> bytes:
        """Run git and return its standard output. Exit codes other than `ok` raise SnapshotError."""
        with self._start(*arguments, seconds=SECONDS, root=root or self.root) as process:
            out, err = process.communicate(stdin)
        if process.returncode not in ok:
            raise self._failure(arguments[0], process.returncode, err)
        return out

    def list_entries(self, *arguments: str, limit: int) -> list[bytes]:
        """Return the NUL-terminated entries that git lists. Raises SnapshotError far above `limit` entries."""
        pieces: list[bytes] = []
        count = 0
        with self._start(*arguments, seconds=LISTING_SECONDS, root=self.root, errors=False) as process:
            assert process.stdout is not None  # noqa: S101  stdout is a pipe
            while chunk := os.read(process.stdout.fileno(), CHUNK_BYTES):
                pieces.append(chunk)
                count += chunk.count(b"\0")
                if count > 2 * limit:  # a moved file is listed twice
                    raise too_many_files(limit)
            process.wait()
        if process.returncode:
            raise self._failure(arguments[0], process.returncode, b"")
        return b"".join(pieces).split(b"\0")[:-1]

    def run_parallel(self, *commands: Sequence[str]) -> list[bytes]:
        """Run independent commands in parallel and return their outputs."""
        with ExitStack() as stack:
            running = [
                stack.enter_context(self._start(*command, seconds=SECONDS, root=self.root, errors=False))
                for command in commands
            ]
            outputs = [process.communicate()[0] for process in running]
        for command, process in zip(commands, running, strict=True):
            if process.returncode:
                raise self._failure(command[0], process.returncode, b"")
        return outputs

    @contextmanager
    def open_blobs(self, ids: Sequence[str]) -> Iterator["BlobReader"]:
        """Yield a reader of the blobs `ids`, to be read in this order."""
        with self._start("cat-file", "--batch", seconds=10 * SECONDS, root=self.root, errors=False) as process:
            assert process.stdin is not None  # noqa: S101  both are pipes
            assert process.stdout is not None  # noqa: S101
            yield BlobReader(ids, process.stdin, process.stdout)
            process.stdin.close()

    @contextmanager
    def _start(
        self, *arguments: str, seconds: float, root: Path, errors: bool = True
    ) -> "Iterator[subprocess.Popen[bytes]]":
        if shutil.which("git") is None or not root.is_dir():
            raise SnapshotError("git is not on PATH" if root.is_dir() else f"the folder {root} no longer exists")
        options = ("-c", f"core.excludesFile={self.ignore_file}") if self.ignore_file else ()
        reads = [Path(self.ignore_file).expanduser()] if self.ignore_file else []
        with ExitStack() as stack:
            git = stack.enter_context(open_git((*options, *arguments), root, reads=reads, writes=[self.folder]))
            process = git.start(
                keeps=self._lock,
                cwd=root,
                env=self._environment(root),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if errors else subprocess.DEVNULL,
            )
            timer = threading.Timer(seconds, kill_git, (process,))
            timer.daemon = True
            stack.enter_context(process)
            self.processes.add(process)
            timer.start()
            try:
                yield process
            except BaseException:
                kill_git(process)
                raise
            finally:
                timer.cancel()
                self.processes.remove(process)

    def _environment(self, root: Path) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
        return {
            **inherited,
            "LC_ALL": "C",
            "GIT_DIR": str(self.folder),
            "GIT_WORK_TREE": str(root),
            "GIT_INDEX_FILE": str(self.index),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def _failure(self, command: str, code: int, errors: bytes) -> SnapshotError:
        if self.processes.closed:
            return SnapshotError("the session was closed")
        if code < 0:
            return SnapshotError(f"git {command} timed out or was killed", permanent=True)
        lines = errors.decode(errors="replace").strip().splitlines()
        return SnapshotError(f"git {command} failed: {lines[0] if lines else f'exit code {code}'}")


class BlobReader:
    """Reads blobs from `git cat-file --batch`, requesting some of them in advance."""

    def __init__(self, ids: Sequence[str], requests: IO[bytes], responses: IO[bytes]) -> None:
        self._ids = ids
        self._requests = requests
        self._responses = responses
        self._requested = 0
        self._read = 0

    def copy(self, index: int, target: IO[bytes]) -> None:
        """Copy the content of blob number `index` to an open file. Earlier blobs can no longer be read."""
        if self._read < index:
            with Path(os.devnull).open("wb") as discarded:
                while self._read < index:
                    self._copy_next(discarded)
        self._copy_next(target)

    def _copy_next(self, target: IO[bytes]) -> None:
        if self._requested <= self._read:
            # Few enough requests to fit into the pipe while the responses are not read.
            ahead = self._ids[self._requested : self._requested + PREFETCHED]
            self._requests.write("".join(f"{id}\n" for id in ahead).encode())
            self._requests.flush()
            self._requested += len(ahead)
        self._read += 1
        header = self._responses.readline().split()
        if len(header) != 3:
            raise SnapshotError("the snapshot lacks a file")
        remaining = int(header[2])
        while remaining and (chunk := self._responses.read(min(remaining, CHUNK_BYTES))):
            target.write(chunk)
            remaining -= len(chunk)
        if remaining or self._responses.read(1) != b"\n":
            raise SnapshotError("git ended while a file was being restored")
