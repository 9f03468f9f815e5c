"""Removal of hooks and settings that a sandboxed command left in repositories and that git would run outside.

Existing repositories are protected while the command runs (sandbox/bubblewrap.py). What it created is compared with the
state before: a control file counts as the user's only if the same file was there, unchanged.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ml_intern.sandbox.git.reader import open_git
from ml_intern.sandbox.git.restore import SavedFiles, restore_file, save_files
from ml_intern.sandbox.git.settings import harmless_settings
from ml_intern.sandbox.git.tree import GitFolder, common_folder, find_repositories, resolve_repository
from ml_intern.sandbox.syscalls import open_folder_beneath

_CONTROL_FILES = ("config", "config.worktree", "commondir")
_MAX_CONFIG = 1 << 20
_SECONDS = 20
_Identity = tuple[int, ...]


@dataclass(frozen=True)
class GitState:
    """The repositories in the writable folders before a command runs."""

    roots: tuple[str, ...]
    guarded: Mapping[_Identity, tuple[str, ...]]
    """The control files of each repository that the command cannot change."""
    files: frozenset[_Identity]
    """The control files that exist and the command could change."""
    saved: Mapping[str, SavedFiles] = field(default_factory=dict[str, SavedFiles])
    """Their contents by repository, if what the command changes in them is to be restored."""
    pointers: Mapping[str, SavedFiles] = field(default_factory=dict[str, SavedFiles])
    """The same for each `.git` that is a file and names a repository."""


def record_git_state(roots: Sequence[str], git: Sequence[GitFolder], *, restores: bool = False) -> GitState:
    """Record the state of repositories. Call it before the command starts.

    With `restores`, the contents of control files are recorded too, for a sandbox that cannot protect them.
    """
    guarded = {_identity(Path(one.path)): one.guarded for one in git}
    nothing = GitState(tuple(roots), guarded, frozenset())
    inspection = _inspect(nothing)
    folders = [*inspection.folders()]
    files = {identity for folder in folders for identity in folder.changeable()}
    links = {_identity(entry, changed=True) for entry in inspection.entries}
    found = replace(nothing, files=frozenset(files | links))
    if not restores:
        return found
    saved = {str(folder.path): folder.save() for folder in folders}
    return replace(found, saved=saved, pointers=dict(inspection.save_pointers()))


def remove_active_git_config(before: GitState) -> list[str]:
    """Remove hooks and settings that git would run, and return one line for each. Call it after the command."""
    restored = [*_inspect(before).restore_pointers()] if before.pointers else []
    inspection = _inspect(before)
    removed = [*inspection.remove_links_out(), *(line for folder in inspection.folders() for line in folder.clean())]
    return [*restored, *removed]


def _inspect(state: GitState) -> "_Inspection":
    return _Inspection(state, [*map(Path, find_repositories(state.roots))])


@dataclass
class _Inspection:
    """One search through all repositories of the roots."""

    state: GitState
    entries: list[Path]
    _seen: set[Path] = field(default_factory=set[Path])

    def folders(self) -> "Iterator[_Repository]":
        """Yield every repository folder in the roots once."""
        for entry in self.entries:
            real = resolve_repository(entry)
            if real is not None and self._root_of(real):
                yield from self._all_of(real, linked=entry.is_file())

    def remove_links_out(self) -> Iterator[str]:
        """Remove every new `.git` that names a folder outside the roots; yield its path."""
        for entry in self.entries:
            real = resolve_repository(entry)
            if not real or self._root_of(real) or _identity(entry, changed=True) in self.state.files:
                continue
            with _opened(self._root_of(entry), entry.parent) as folder:
                if folder >= 0 and save_files(folder, [entry.name]) != self.state.pointers.get(str(entry)):
                    yield from _remove(entry.parent, entry.name, folder)

    def save_pointers(self) -> Iterator[tuple[str, SavedFiles]]:
        """Yield the content of every `.git` that is a file."""
        for entry in self.entries:
            if entry.is_file():
                with _opened(self._root_of(entry), entry.parent) as folder:
                    yield str(entry), save_files(folder, [entry.name] if folder >= 0 else [])

    def restore_pointers(self) -> Iterator[str]:
        """Restore every `.git` that was a file and has changed; yield a line for each."""
        for entry in self.entries:
            for name, saved in self.state.pointers.get(str(entry), {}).items():
                with _opened(self._root_of(entry), entry.parent) as folder:
                    yield from restore_file(folder, name, saved, str(entry)) if folder >= 0 else ()

    def _root_of(self, real: Path) -> str:
        return next((root for root in self.state.roots if real.is_relative_to(root)), "")

    def _all_of(self, real: Path, *, linked: bool) -> "Iterator[_Repository]":
        """Yield a repository and those it consists of: its common folder, submodules and linked work trees."""
        if real in self._seen:
            return
        self._seen.add(real)
        common = common_folder(real) if linked else None
        inside = common is not None and bool(self._root_of(common))
        yield _Repository(self._root_of(real), real, self.state, keeps_common=inside)
        if common is not None and inside:
            yield from self._all_of(common, linked=False)
        for part in _parts(real):
            yield from self._all_of(part, linked=True)


def _parts(real: Path) -> Iterator[Path]:
    """Yield the folders of submodules and linked work trees."""
    for group in ("modules", "worktrees"):
        if (real / group).is_symlink():
            continue
        for folder, names, files in os.walk(real / group):
            if "HEAD" in files:
                yield Path(folder)
                names.clear()


@dataclass(frozen=True)
class _Repository:
    """A repository folder, accessed below its root without following links."""

    root: str
    path: Path
    state: GitState
    keeps_common: bool
    """Its commondir names a folder in the roots, which is cleaned too."""

    def changeable(self) -> Iterator[_Identity]:
        """Yield the identities of the control files that the command could change."""
        with _opened(self.root, self.path) as folder:
            yield from (found for name in self._names(folder) if (found := _identity(name, folder, changed=True)))

    def save(self) -> SavedFiles:
        """Return the contents of the control files."""
        with _opened(self.root, self.path) as folder:
            return save_files(folder, self._names(folder))

    def clean(self) -> Iterator[str]:
        """Restore what was changed, and remove what is new and active; yield a line for each."""
        saved = self.state.saved.get(str(self.path), {})
        with _opened(self.root, self.path) as folder:
            for name, file in saved.items() if folder >= 0 else ():
                yield from restore_file(folder, name, file, str(self.path / name))
            for name in self._names(folder):
                if name in saved or _identity(name, folder, changed=True) in self.state.files:
                    continue
                if name == "config":
                    yield from _clean_config(self.path / name, folder)
                elif not (name == "commondir" and self.keeps_common):
                    yield from _remove(self.path, name, folder)

    def _names(self, folder: int) -> list[str]:
        """Return the existing control files that are not guarded, hooks included."""
        if folder < 0:
            return []
        guarded = self.state.guarded.get(_identity(self.path), ())
        names = [name for name in _CONTROL_FILES if name not in guarded and _identity(name, folder)]
        return [*([] if "hooks" in guarded else _hooks(folder)), *names]


@contextmanager
def _opened(root: str, path: Path) -> Iterator[int]:
    """Yield a descriptor of a folder below a root; -1 if it is not there or a link replaced part of its path."""
    try:
        folder = open_folder_beneath(root, os.path.relpath(path, root))
    except OSError:
        yield -1
        return
    try:
        yield folder
    finally:
        os.close(folder)


def _hooks(folder: int) -> list[str]:
    """Return the hooks, or `hooks` itself if it is a link."""
    try:
        found = os.stat("hooks", dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            return ["hooks"]
        hooks = os.open("hooks", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return []
    try:
        return [f"hooks/{name}" for name in os.listdir(hooks) if not name.endswith(".sample")]  # noqa: PTH208
    finally:
        os.close(hooks)


def _remove(path: Path, name: str, folder: int) -> Iterator[str]:
    with suppress(OSError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
        yield str(path / name)


def _clean_config(path: Path, folder: int) -> Iterator[str]:
    """Rewrite a configuration with its harmless settings only; remove it if git cannot read it."""
    content = _read_config(folder)
    listed = _list_settings(content) if content is not None else None
    if listed is None:
        yield from _remove(path.parent, path.name, folder)
        return
    text, others = harmless_settings(listed)
    if others:
        _replace_config(folder, text)
    yield from (f"{key} in {path}" for key in others)


def _read_config(folder: int) -> bytes | None:
    """Return the content of a configuration file; None if it is a link or too large."""
    try:
        with os.fdopen(os.open("config", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
            content = file.read(_MAX_CONFIG + 1)
    except OSError:
        return None
    return content if len(content) <= _MAX_CONFIG else None


def _replace_config(folder: int, text: str) -> None:
    fresh = "config.ml-intern"
    with suppress(OSError):
        os.unlink(fresh, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(fresh, flags, 0o644, dir_fd=folder), "w", errors="surrogateescape") as file:
        file.write(text)
    os.rename(fresh, "config", src_dir_fd=folder, dst_dir_fd=folder)


def _list_settings(content: bytes) -> str | None:
    """Return the settings as git reads them, NUL-terminated; None if git rejects the file."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    query = ("config", "--file", "-", "--no-includes", "--list", "-z")
    try:
        with open_git(query, Path("/")) as git:
            output = git.run(seconds=_SECONDS, given=content, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if output is None else os.fsdecode(output)


def _identity(path: "str | Path", folder: int | None = None, *, changed: bool = False) -> _Identity:
    """Return what identifies a file, with `changed` also its state; () if it does not exist."""
    try:
        found = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return ()
    state = (found.st_ctime_ns, found.st_size) if changed else ()
    return (found.st_dev, found.st_ino, *state)
