"""Trees of a workspace's files, kept byte for byte in a git repository beside it, and how two of them differ."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ml_intern.snapshots.git import IGNORE_SOME, NoSnapshot, ShadowGit, Stop, too_many
from ml_intern.snapshots.scan import Limits, Scan
from ml_intern.snapshots.users_git import users_ignores

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MAX_LOOKED_AT = 1000
"""Folders that are searched for empty ones."""
HALF_WRITTEN = ".ml-intern-undo-"
"""How the names of files begin that are being brought back."""
_UNLIMITED = 1 << 62
# Made again by the tool that made them; a .gitignore of the user can take them in with "!".
_MADE_AGAIN = (
    ".venv/", "venv/", "node_modules/", "__pycache__/", ".ipynb_checkpoints/",
    ".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".tox/",
)  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """The files of a workspace at one moment. Paths are bytes, relative to the workspace."""

    id: str
    left_out: Mapping[bytes, str]
    """What was not taken, and why; a folder's path ends with a slash."""
    modes: Mapping[bytes, int]
    """Permission bits of the files that differ from `usual_modes`."""
    usual_modes: tuple[int, int] = (0o644, 0o755)
    """Permission bits of most files, and of most executable ones."""
    empty: Collection[bytes] = ()
    """Folders with nothing in them."""
    bare: Collection[bytes] = ()
    """Folders that hold no file of the snapshot, the topmost of each."""
    ignored: Collection[bytes] = ()
    """What the user's ignore files name, whole folders as one."""

    def why_missing(self, path: bytes, *, ignored: bool) -> str:
        """Why `path`, or a folder it is in, was not taken; "" when it was, or was not there.

        With `ignored`, that it is ignored is a reason too.
        """
        for at in (path, *(path[: at + 1] for at, character in enumerate(path) if character == ord("/"))):
            if at in self.left_out or (ignored and at in self.ignored):
                return self.left_out.get(at, "ignored")
        return ""

    def mode(self, path: bytes, *, executable: bool) -> int:
        """The permission bits of a file."""
        return self.modes.get(path, self.usual_modes[executable])


@dataclass(frozen=True)
class Change:
    """What differs at a path between two trees: the file in the second, whose blob is "" when there is none."""

    path: bytes
    status: str
    """A: only in the second, D: only in the first, M: other content or exec bit, T: another kind of file."""
    mode: int
    blob: str


class Shadow:
    """The shadow repository of one workspace. Its methods block, want `git.held` around them, and raise NoSnapshot."""

    def __init__(self, folder: Path, workspace: Path, home: Path, limits: Limits, stop: Stop) -> None:
        self.workspace = workspace
        self.limits = limits
        self.root = os.fsencode(workspace) + b"/"
        ignores = users_ignores(workspace)
        inside = workspace.relative_to(ignores.top)
        self._prefix = b"" if inside == Path() else os.fsencode(inside) + b"/"
        self._within = ("--", f":(literal){inside}") if self._prefix else ()
        name = f"index-{len(self._prefix)}"
        self.git = ShadowGit(folder, ignores.top, folder / name, ignores.ignore_file, stop)
        own = f"/{_escaped(home.relative_to(ignores.top))}/" if home.is_relative_to(ignores.top) else ""
        self._excludes = "\n".join([*_MADE_AGAIN, ignores.excludes, own, f"{HALF_WRITTEN}*", ""])

    def take(self, forced: Collection[bytes] = (), *, limited: bool = True) -> Tree:
        """The files as they are now. Those in `forced` are taken whatever their size, and when they are ignored too."""
        if not self.workspace.is_dir():
            raise NoSnapshot(f"the folder {self.workspace} is gone")
        self.git.create(str(self.workspace), self._excludes)
        try:
            return self._take(forced, limited=limited)
        except NoSnapshot as fault:
            if fault.lasting or self.git.stop.stopped:
                raise
            # Files changed while git read them, or the index is damaged: once more from the beginning.
            self.git.index.unlink(missing_ok=True)
            return self._take(forced, limited=limited)

    def _take(self, forced: Collection[bytes], *, limited: bool) -> Tree:
        scan, dropped = self._scan(forced, self.limits.files if limited else _UNLIMITED)
        if limited:
            self._check_room(scan)
        if dropped:
            self.git.run("update-index", "--force-remove", "-z", "--stdin", stdin=self._joined(dropped))
        added = self._joined(scan.kept)
        self.git.run("update-index", "--add", "--remove", "--replace", "-z", "--stdin", stdin=added)
        written, others, ignored = self.git.side_by_side(
            ("write-tree", *((f"--prefix={os.fsdecode(self._prefix)}",) if self._prefix and scan.kept else ())),
            self._listing("-o", "--directory"),
            self._listing("-o", "-i", "--directory"),
        )
        usual = (_usual(scan.modes, executable=False), _usual(scan.modes, executable=True))
        unusual = {path: mode for path, mode in scan.modes.items() if mode != usual[_executable(mode)]}
        bare = [path[:-1] for path in self._split(others) if path[-1:] == b"/" and path not in scan.left_out]
        empty = list(self._empty_folders(bare))
        id = written.decode().strip() if scan.kept else EMPTY_TREE
        return Tree(id, scan.left_out, unusual, usual, empty, bare, frozenset(self._cleared(self._split(ignored))))

    def _cleared(self, ignored: Iterable[bytes]) -> Iterator[bytes]:
        """What is ignored, without files that a killed undo left half written."""
        for path in ignored:
            if path.rpartition(b"/")[2].startswith(os.fsencode(HALF_WRITTEN)):
                Path(os.fsdecode(self.root + path)).unlink(missing_ok=True)
            else:
                yield path

    def _scan(self, forced: Collection[bytes], most: int) -> tuple[Scan, list[bytes]]:
        """Every path that is there, and what the index holds and should not."""
        since = self.git.index.stat().st_mtime_ns if self.git.index.is_file() else 0
        scan = Scan(self.root, self.limits, frozenset(forced), since)
        tracked, others = self._listed(most)
        ignored = set(self._split(self.git.run(*self._listing("-c", "-i")))) if tracked else set[bytes]()
        ignored.difference_update(forced)
        for path in dict.fromkeys([*tracked, *others, *forced]):
            if path.endswith(b"/"):
                scan.left_out[path] = "a repository of its own"
            elif path not in ignored:
                scan.look(path)
        if len(scan.kept) > most:
            raise too_many(most)
        return scan, [path for path in (*ignored, *scan.gone, *scan.left_out) if path in tracked]

    def _listed(self, most: int) -> tuple[dict[bytes, None], list[bytes]]:
        """What the index holds, and what else is there: files, and with a slash repositories within this one."""
        found = self.git.entries(*self._listing("-t", "-c", "-o"), most=most)
        skip = len(b"H ") + len(self._prefix)
        tracked = dict.fromkeys(entry[skip:] for entry in found if not entry.startswith(b"?"))
        return tracked, [entry[skip:] for entry in found if entry.startswith(b"?")]

    def _listing(self, *options: str) -> tuple[str, ...]:
        return ("ls-files", "-z", *options, "--exclude-standard", *self._within)

    def _split(self, listed: bytes) -> list[bytes]:
        return [path[len(self._prefix) :] for path in listed.split(b"\0")[:-1]]

    def _check_room(self, scan: Scan) -> None:
        if scan.new_bytes > self.limits.new_bytes:
            why = f"{scan.new_bytes / 1e9:.1f} GB of files would have to be copied"
            raise NoSnapshot(why, IGNORE_SOME, lasting=True)
        disk = os.statvfs(self.git.folder)
        if disk.f_bavail * disk.f_frsize < scan.new_bytes + self.limits.free_bytes:
            raise NoSnapshot(f"the disk of {self.git.folder} is nearly full", "free some space")

    def _empty_folders(self, bare: Collection[bytes]) -> Iterator[bytes]:
        """Folders with nothing in them, among `bare` ones and what is in those."""
        looked = 0
        for top in bare:
            for folder, folders, files in os.walk(self.root + top):
                looked += 1
                if looked > MAX_LOOKED_AT:
                    return
                if not folders and not files:
                    yield os.path.relpath(folder, self.root)

    def diff(self, before: str, after: str) -> list[Change]:
        """What differs between two trees, in the order of the paths."""
        fields = self.git.run("diff-tree", "-r", "-z", "--no-renames", "--no-abbrev", before, after).split(b"\0")
        changes: list[Change] = []
        for about, path in zip(fields[:-1:2], fields[1::2], strict=True):
            _, mode, _, blob, status = about.decode().split()
            changes.append(Change(path, status, int(mode, 8), "" if status == "D" else blob))
        return changes

    def line_counts(self, before: str, after: str) -> dict[bytes, tuple[int, int] | None]:
        """Lines that come and lines that go from the first tree to the second; None for a binary file."""
        options = ("-r", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--numstat")
        counts: dict[bytes, tuple[int, int] | None] = {}
        for entry in self.git.run("diff-tree", *options, before, after).split(b"\0")[:-1]:
            added, removed, path = entry.split(b"\t", 2)
            counts[path] = None if added == b"-" else (int(added), int(removed))
        return counts

    def paths(self, tree: str) -> list[bytes]:
        """The files of a tree."""
        return [path for path, _, _ in self._entries(tree)]

    def _entries(self, tree: str) -> Iterator[tuple[bytes, int, str]]:
        for entry in self.git.run("ls-tree", "-r", "-z", tree).split(b"\0")[:-1]:
            about, path = entry.split(b"\t", 1)
            mode, _, blob = about.decode().split()
            yield path, int(mode, 8), blob

    def _joined(self, paths: Iterable[bytes]) -> bytes:
        return b"".join(self._prefix + path + b"\0" for path in paths)


def _executable(mode: int) -> bool:
    return bool(mode & 0o100)


def _usual(modes: Mapping[bytes, int], *, executable: bool) -> int:
    found = Counter(mode for mode in modes.values() if _executable(mode) is executable)
    return found.most_common(1)[0][0] if found else (0o755 if executable else 0o644)


def _escaped(path: Path) -> str:
    return "".join(f"\\{character}" if character in "\\*?[" else character for character in str(path))
