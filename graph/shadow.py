"""Trees of a workspace's files, kept byte for byte in a git repository beside it, and how two of them differ."""

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from graph.scan import Limits, Scan
from graph.shadow_git import IGNORE_SOME, NoSnapshot, ShadowGit, Stop, users_ignores

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MOST_LOOKED_AT = 1000
"""Folders that are searched for empty ones."""
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

    def left_out_with(self, path: bytes) -> str:
        """Why `path`, or a folder it is in, was not taken; "" when it was."""
        folders = (path[: at + 1] for at, character in enumerate(path) if character == ord("/"))
        return self.left_out.get(path) or next(filter(None, map(self.left_out.get, folders)), "")

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
        self._within = ("--", str(inside)) if self._prefix else ()
        name = f"index-{len(self._prefix)}"
        self.git = ShadowGit(folder, ignores.top, folder / name, ignores.ignore_file, stop)
        own = f"/{_escaped(home.relative_to(ignores.top))}/" if home.is_relative_to(ignores.top) else ""
        self._excludes = "\n".join([*_MADE_AGAIN, ignores.excludes, own, ""])

    def take(self, forced: Collection[bytes] = (), *, limited: bool = True) -> Tree:
        """The files as they are now. Those in `forced` are taken whatever their size, and when they are ignored too."""
        if not self.workspace.is_dir():
            raise NoSnapshot(f"the folder {self.workspace} is gone")
        self.git.create(self._excludes)
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
        id = self._write_tree() if scan.kept else EMPTY_TREE
        usual = (_usual(scan.modes, executable=False), _usual(scan.modes, executable=True))
        unusual = {path: mode for path, mode in scan.modes.items() if mode != usual[_executable(mode)]}
        bare = [top[:-1] for top in self._files("-o", "--directory") if top[-1:] == b"/" and top not in scan.left_out]
        return Tree(id, scan.left_out, unusual, usual, self._empty_folders(bare), bare)

    def _write_tree(self) -> str:
        below = (f"--prefix={os.fsdecode(self._prefix)}",) if self._prefix else ()
        return self.git.run("write-tree", *below).decode().strip()

    def _scan(self, forced: Collection[bytes], most: int) -> tuple[Scan, list[bytes]]:
        """Every path that is there, and what the index holds and should not."""
        since = self.git.index.stat().st_mtime_ns if self.git.index.is_file() else 0
        scan = Scan(self.root, self.limits, frozenset(forced), since)
        tracked, others = self._listed(2 * most)
        ignored = self._ignored_tracked().difference(forced) if tracked else set[bytes]()
        for path in dict.fromkeys([*tracked, *others, *forced]):
            if path.endswith(b"/"):
                scan.left_out[path] = "a repository of its own"
            elif path not in ignored:
                scan.look(path)
        if len(scan.kept) > most:
            raise NoSnapshot(f"there are more than {most:,} files in it", IGNORE_SOME, lasting=True)
        return scan, [path for path in (*ignored, *scan.gone, *scan.left_out) if path in tracked]

    def _listed(self, most: int) -> tuple[dict[bytes, None], list[bytes]]:
        """What the index holds, and what else is there: files, and with a slash repositories within this one."""
        arguments = ("ls-files", "-z", "-t", "-c", "-o", "--exclude-standard", *self._within)
        found = self.git.entries(*arguments, most=most)
        skip = len(b"H ") + len(self._prefix)
        tracked = dict.fromkeys(entry[skip:] for entry in found if not entry.startswith(b"?"))
        return tracked, [entry[skip:] for entry in found if entry.startswith(b"?")]

    def _ignored_tracked(self) -> set[bytes]:
        return set(self._files("-c", "-i"))

    def _files(self, *options: str) -> list[bytes]:
        arguments = ("ls-files", "-z", *options, "--exclude-standard", *self._within)
        return self._unprefixed(self.git.entries(*arguments, most=_UNLIMITED))

    def _check_room(self, scan: Scan) -> None:
        if scan.new_bytes > self.limits.new_bytes:
            why = f"{scan.new_bytes / 1e9:.1f} GB of files would have to be copied"
            raise NoSnapshot(why, IGNORE_SOME, lasting=True)
        disk = os.statvfs(self.git.folder)
        if disk.f_bavail * disk.f_frsize < scan.new_bytes + self.limits.free_bytes:
            raise NoSnapshot(f"the disk of {self.git.folder} is nearly full", "free some space")

    def _empty_folders(self, bare: Collection[bytes]) -> Collection[bytes]:
        """Folders with nothing in them, among `bare` ones and what is in those."""
        looked = (walked for top in bare for walked in os.walk(self.root + top))
        found = [
            os.path.relpath(folder, self.root)
            for (folder, folders, files), _ in zip(looked, range(MOST_LOOKED_AT), strict=False)
            if not folders and not files
        ]
        return set(found) - self._named(found, self.git.root) if found else ()

    def ignored(self) -> list[bytes]:
        """What is ignored now, whole folders as one."""
        return self._files("-o", "-i", "--directory")

    def ignored_in(self, tree: str, paths: Collection[bytes]) -> set[bytes]:
        """Which of `paths` are ignored by the .gitignore files of a tree."""
        with TemporaryDirectory() as folder:
            top = Path(folder)
            workspace = Path(folder, os.fsdecode(self._prefix))
            for above in Path(os.fsdecode(self._prefix)).parents if self._prefix else ():
                _copy_ignores(self.git.root / above, top / above)
            with self.git.blobs() as copy:
                for path, mode, blob in self._entries(tree):
                    if f"/{os.fsdecode(path)}".endswith("/.gitignore") and stat.S_ISREG(mode):
                        target = workspace / os.fsdecode(path)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        with target.open("wb") as file:
                            copy(blob, file)
            return self._named(paths, top)

    def _named(self, paths: Collection[bytes], top: Path) -> set[bytes]:
        """Which of `paths` the ignore files below `top` name."""
        asked = self._joined(paths)
        found = self.git.run("check-ignore", "--no-index", "-z", "--stdin", stdin=asked, ok=(0, 1), root=top)
        return set(self._unprefixed(found.split(b"\0")[:-1]))

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

    def _unprefixed(self, paths: Iterable[bytes]) -> list[bytes]:
        return [path[len(self._prefix) :] for path in paths]


def _executable(mode: int) -> bool:
    return bool(mode & 0o100)


def _usual(modes: Mapping[bytes, int], *, executable: bool) -> int:
    found = Counter(mode for mode in modes.values() if _executable(mode) is executable)
    return found.most_common(1)[0][0] if found else (0o755 if executable else 0o644)


def _copy_ignores(source: Path, target: Path) -> None:
    if (source / ".gitignore").is_file():
        target.mkdir(parents=True, exist_ok=True)
        (target / ".gitignore").write_bytes((source / ".gitignore").read_bytes())


def _escaped(path: Path) -> str:
    return "".join(f"\\{character}" if character in "\\*?[" else character for character in str(path))
