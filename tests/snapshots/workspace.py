"""A workspace for snapshot tests, and exact pictures of a folder's contents."""

import os
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from ml_intern.snapshots.scan import Limits
from ml_intern.snapshots.workspace import RestoreRequest, RestoreResult, Snapshots

Picture = dict[bytes, tuple[str, int, bytes]]


def picture(folder: Path) -> Picture:
    """Return everything below a folder: kind, permission bits and content, without .git folders."""
    found: Picture = {}
    for parent, folders, files in os.walk(os.fsencode(folder)):
        folders[:] = [name for name in folders if name != b".git"]
        for name in (*folders, *files):
            path = os.path.join(parent, name)  # noqa: PTH118  bytes
            found[os.path.relpath(path, os.fsencode(folder))] = _seen(path)
    return found


def _seen(path: bytes) -> tuple[str, int, bytes]:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return "link", 0, os.readlink(path)  # noqa: PTH115  bytes
    if stat.S_ISDIR(status.st_mode):
        return "folder", 0, b""
    content = Path(os.fsdecode(path)).read_bytes() if stat.S_ISREG(status.st_mode) else b""
    return "file", status.st_mode & 0o777, content


@dataclass
class Workspace:
    """A folder, a data home, and the snapshots of one session."""

    folder: Path
    home: Path
    limits: Limits = field(default_factory=lambda: Limits(free_bytes=0))
    problems: list[str] = field(default_factory=list[str])
    count: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.snapshots = self.session()

    def session(self) -> Snapshots:
        """Return the snapshots of another session in the same folder."""
        return Snapshots(
            self.home, self.folder, lambda what, remedy: self.problems.append(f"{what} ({remedy})"), self.limits
        )

    def write(self, name: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        """Write a file in the workspace."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    async def take(self) -> str:
        """Take a snapshot and return its name."""
        name = self.snapshots.begin("thread")
        await self.snapshots.settled()
        return name

    async def restore(self, name: str) -> RestoreResult:
        """Restore a snapshot; `redo` restores the previous state."""
        self.count += 1
        return await self.snapshots.restore(
            RestoreRequest([name], "thread", self.snapshots.name_of(f"before-{self.count}"))
        )

    async def redo(self) -> RestoreResult:
        name = self.snapshots.name_of(f"before-{self.count}")
        return await self.snapshots.restore(
            RestoreRequest([name], "thread", self.snapshots.name_of(f"redo-{self.count}"))
        )


def git(folder: Path, *arguments: str) -> str:
    """Run the user's git with an isolated configuration and return its output."""
    isolated = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
    }
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
    command = ["git", "--no-optional-locks", *who, *arguments]
    return subprocess.run(command, cwd=folder, env=isolated, check=True, capture_output=True, text=True).stdout


def repository(folder: Path) -> Path:
    """Create a repository with one commit of the folder's files."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder
