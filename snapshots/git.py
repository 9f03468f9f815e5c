"""Run git on a repository of our own whose work tree is the user's folder. snapshots.trees decides what is kept."""

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
from ml_intern.store.lock import open_lock_file, try_lock

SECONDS = 120.0
"""The longest that one git command may take."""
LISTING_SECONDS = 20.0
LOCK_STEP = 0.01
CHUNK_BYTES = 1 << 20
ASKED_AHEAD = 500
IGNORE_SOME = "name in .gitignore what undo need not bring back"
_KEPT_VARIABLES = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# No conversion, filter or encoding that the user's .gitattributes name: files come back byte for byte.
_ATTRIBUTES = "* -text -filter -ident !eol !working-tree-encoding\n"
_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = false
\tlogallrefupdates = false
\tautocrlf = false
\tcompression = 0
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


class NoSnapshot(Exception):
    """Why files could not be kept or brought back, and what can be done about it, in words for the user."""

    def __init__(self, why: str, remedy: str = "", *, lasting: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy
        self.lasting = lasting
        """It will be so for every turn of this session."""


def too_many(most: int) -> NoSnapshot:
    """What it means that there are more than `most` files."""
    return NoSnapshot(f"there are more than {most:,} files in it", IGNORE_SOME, lasting=True)


@dataclass
class Stop:
    """Ends the git processes of a session when it closes, and lets no new one start."""

    _running: set["subprocess.Popen[bytes]"] = field(default_factory=set["subprocess.Popen[bytes]"])
    _guard: threading.Lock = field(default_factory=threading.Lock)
    stopped: bool = False

    def now(self) -> None:
        """End them."""
        with self._guard:
            self.stopped = True
            for process in self._running:
                process.kill()

    def add(self, process: "subprocess.Popen[bytes]") -> None:
        """Take in a process that was just started."""
        with self._guard:
            self._running.add(process)
            if self.stopped:
                process.kill()

    def remove(self, process: "subprocess.Popen[bytes]") -> None:
        """Forget a process that has ended."""
        with self._guard:
            self._running.discard(process)


@dataclass
class ShadowGit:
    """git with `folder` as its GIT_DIR and `root` as its work tree; nothing of the user's configuration applies.

    Its methods block: call them in a thread, within `held`. They raise NoSnapshot when git fails.
    """

    folder: Path
    root: Path
    index: Path
    ignore_file: str = ""
    """The user's core.excludesFile, when it is set."""
    stop: Stop = field(default_factory=Stop)
    _lock: tuple[int, ...] = ()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other sessions out of the repository. Its git processes hold the lock too, until they end."""
        private_folder(self.folder)
        descriptor = open_lock_file(self.folder / "lock")
        try:
            self._wait_for(descriptor)
            self._lock = (descriptor,)
            try:
                self.index.with_name(f"{self.index.name}.lock").unlink(missing_ok=True)  # of a git that was killed
                yield
            finally:
                self._lock = ()
        finally:
            os.close(descriptor)

    def _wait_for(self, descriptor: int) -> None:
        for _ in range(int(SECONDS / LOCK_STEP)):
            if try_lock(descriptor):
                return
            if self.stop.stopped:
                raise NoSnapshot("the session was closed meanwhile")
            time.sleep(LOCK_STEP)
        raise NoSnapshot("another session works on the snapshots of this folder", "try again")

    def create(self, workspace: str, excludes: str) -> None:
        """Make the repository when it is missing, and write what it ignores besides the user's .gitignore files."""
        for name in ("objects/info", "objects/pack", "refs", "info"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        texts = {"HEAD": "ref: refs/heads/none\n", "config": _CONFIG, "info/attributes": _ATTRIBUTES}
        for name, text in {**texts, "info/exclude": excludes, "workspace": workspace}.items():
            path = self.folder / name
            if not path.is_file() or path.read_text(errors="surrogateescape") != text:
                path.write_text(text, errors="surrogateescape")

    def run(self, *arguments: str, stdin: bytes = b"", ok: Sequence[int] = (0,), root: Path | None = None) -> bytes:
        """What git prints to its standard output. `ok` are the exit codes that are no failure."""
        with self._started(*arguments, seconds=SECONDS, root=root or self.root) as process:
            out, err = process.communicate(stdin)
        if process.returncode not in ok:
            raise self._failure(arguments[0], process.returncode, err)
        return out

    def entries(self, *arguments: str, most: int) -> list[bytes]:
        """What git lists, its entries ended by NUL. Where it is far more than `most`, the rest is not listed at all."""
        pieces: list[bytes] = []
        count = 0
        with self._started(*arguments, seconds=LISTING_SECONDS, root=self.root, errors=False) as process:
            assert process.stdout is not None  # noqa: S101  it was asked for
            while chunk := os.read(process.stdout.fileno(), CHUNK_BYTES):
                pieces.append(chunk)
                count += chunk.count(b"\0")
                if count > 2 * most:  # a file that was moved is listed twice
                    raise too_many(most)
            process.wait()
        if process.returncode:
            raise self._failure(arguments[0], process.returncode, b"")
        return b"".join(pieces).split(b"\0")[:-1]

    def side_by_side(self, *commands: Sequence[str]) -> list[bytes]:
        """What several commands print that do not disturb each other."""
        with ExitStack() as stack:
            running = [
                stack.enter_context(self._started(*command, seconds=SECONDS, root=self.root, errors=False))
                for command in commands
            ]
            printed = [process.communicate()[0] for process in running]
        for command, process in zip(commands, running, strict=True):
            if process.returncode:
                raise self._failure(command[0], process.returncode, b"")
        return printed

    @contextmanager
    def blobs(self, ids: Sequence[str]) -> Iterator["Blobs"]:
        """Within this block, the contents of blobs can be read in the order of `ids`."""
        with self._started("cat-file", "--batch", seconds=10 * SECONDS, root=self.root, errors=False) as process:
            assert process.stdin is not None  # noqa: S101  both were asked for
            assert process.stdout is not None  # noqa: S101
            yield Blobs(ids, process.stdin, process.stdout)
            process.stdin.close()

    @contextmanager
    def _started(
        self, *arguments: str, seconds: float, root: Path, errors: bool = True
    ) -> "Iterator[subprocess.Popen[bytes]]":
        program = shutil.which("git")
        if program is None or not root.is_dir():
            raise NoSnapshot("git is not on PATH" if program is None else f"the folder {root} is gone")
        options = ("-c", f"core.excludesFile={self.ignore_file}") if self.ignore_file else ()
        process = subprocess.Popen(
            [program, *options, *arguments],
            cwd=root,
            env=self._environment(root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if errors else subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is not meant for it
            pass_fds=self._lock,
        )
        timer = threading.Timer(seconds, process.kill)
        timer.daemon = True
        with process:
            self.stop.add(process)
            timer.start()
            try:
                yield process
            except BaseException:
                process.kill()
                raise
            finally:
                timer.cancel()
                self.stop.remove(process)

    def _environment(self, root: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return {
            **kept,
            "LC_ALL": "C",
            "GIT_DIR": str(self.folder),
            "GIT_WORK_TREE": str(root),
            "GIT_INDEX_FILE": str(self.index),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def _failure(self, command: str, code: int, errors: bytes) -> NoSnapshot:
        if self.stop.stopped:
            return NoSnapshot("the session was closed meanwhile")
        if code < 0:
            return NoSnapshot(f"git {command} took too long or was ended", lasting=True)
        said = errors.decode(errors="replace").strip().splitlines()
        return NoSnapshot(f"git {command} failed: {said[0] if said else f'exit code {code}'}")


class Blobs:
    """Reads blobs from `git cat-file --batch`, which is asked for some of them ahead."""

    def __init__(self, ids: Sequence[str], questions: IO[bytes], answers: IO[bytes]) -> None:
        self._ids = ids
        self._questions = questions
        self._answers = answers
        self._asked = 0
        self._read = 0

    def copy(self, at: int, target: IO[bytes]) -> None:
        """Copy the content of blob number `at` to an open file; those before it can no longer be read."""
        if self._read < at:
            with Path(os.devnull).open("wb") as nowhere:
                while self._read < at:
                    self._next(nowhere)
        self._next(target)

    def _next(self, target: IO[bytes]) -> None:
        if self._asked <= self._read:
            # Few enough for the pipe to hold them, however long the answers are.
            ahead = self._ids[self._asked : self._asked + ASKED_AHEAD]
            self._questions.write("".join(f"{id}\n" for id in ahead).encode())
            self._questions.flush()
            self._asked += len(ahead)
        self._read += 1
        header = self._answers.readline().split()
        if len(header) != 3:
            raise NoSnapshot("a file of the snapshot is missing")
        left = int(header[2])
        while left and (chunk := self._answers.read(min(left, CHUNK_BYTES))):
            target.write(chunk)
            left -= len(chunk)
        if left or self._answers.read(1) != b"\n":
            raise NoSnapshot("git ended while it brought a file back")
