"""What a command in the sandbox may have left in repositories so that git would run it outside; it is taken out.

The .git of the workspace is guarded while the command runs (sandbox/bubblewrap.py). What the command makes itself, a
new repository or one within the guarded one that git would enter, is looked at afterwards.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_HARMLESS = re.compile(
    r"core\.(?:repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|"
    r"safecrlf|worktree)|remote\..+\.(?:url|fetch|tagopt|partialclonefilter|promisor)|branch\..+\.(?:remote|merge|rebase)|"
    r"user\.(?:name|email)|submodule\..+\.(?:url|active|branch)|submodule\.active|"
    r"extensions\.(?:objectformat|partialclone)|(?:init\.defaultbranch|pull\.rebase|push\.default)|"
    r"lfs\.repositoryformatversion|color\..+"
)
_GITLINK = b"160000 "
_MAX_FOLDERS = 500
_MAX_PATH = 4096
_SECONDS = 20


@dataclass(frozen=True)
class GitFolder:
    """A repository's .git in a writable folder, and which of its guarded parts exist."""

    path: str
    guarded: tuple[str, ...] = ()
    """hooks, config ...: what git obeys."""


@dataclass(frozen=True)
class Before:
    """How the repositories of the writable folders stood before a command ran."""

    roots: tuple[str, ...]
    git: tuple[GitFolder, ...]
    indexes: tuple[float, ...]
    """When the index of each of `git` was last changed."""
    entries: tuple[tuple[int, float], ...]
    """What `.git` of each root is: its inode and last change; zeros when there is none."""
    since: float
    """What was changed later was changed by the command; seconds of the file system's clock."""


def inspect_before(roots: Sequence[str], git: Sequence[GitFolder]) -> Before:
    """Call it before the command starts."""
    clock = os.memfd_create("clock")
    try:
        since = os.fstat(clock).st_ctime
    finally:
        os.close(clock)
    indexes = (_changed(Path(one.path, "index")) for one in git)
    return Before(tuple(roots), tuple(git), tuple(indexes), tuple(_entry(root) for root in roots), since)


def mend(before: Before) -> list[str]:
    """Take out what git would run; what it was, one line each. Call it after the command has ended."""
    return list(_mended(before))


def _mended(before: Before) -> Iterator[str]:
    for git, index in zip(before.git, before.indexes, strict=True):
        folder = Path(git.path)
        if "commondir" not in git.guarded:
            yield from _removed(folder / "commondir")
        if folder.is_dir():
            yield from _tame_inner(folder, before)
            if _changed(folder / "index") != index:
                yield from _tame_links(folder, before)
    guarded = {git.path for git in before.git}
    for root, entry in zip(before.roots, before.entries, strict=True):
        if f"{root}/.git" not in guarded and _entry(root) != entry:
            yield from _tame_new(Path(root, ".git"), before)


def _tame_new(git: Path, before: Before) -> Iterator[str]:
    """A repository that was not there: all of it is the command's."""
    if git.is_symlink() or git.is_file():
        yield from _removed(git)
    elif git.is_dir():
        yield from _tame(git, before)
        yield from _tame_inner(git, before)
        yield from _tame_links(git, before)


def _tame_inner(git: Path, before: Before) -> Iterator[str]:
    """The repositories of its submodules."""
    if (git / "modules").is_symlink():
        return
    for folder, names, files in os.walk(git / "modules"):
        if "HEAD" in files:
            yield from _tame(Path(folder), before)
            names.clear()


def _tame_links(git: Path, before: Before) -> Iterator[str]:
    """Repositories that it lists as parts of itself: git enters them for `status`."""
    listed = _git(git, "--git-dir", str(git), "ls-files", "--stage", "-z")
    links = [entry.partition(b"\t")[2] for entry in listed.split(b"\0") if entry.startswith(_GITLINK)]
    for link in links[:_MAX_FOLDERS]:
        inner = git.parent / os.fsdecode(link) / ".git"
        if not Path(os.path.realpath(inner.parent)).is_relative_to(git.parent):
            continue
        if inner.is_symlink():
            yield from _removed(inner)
        elif inner.is_dir():
            yield from _tame(inner, before)
            yield from _tame_inner(inner, before)
            yield from _tame_links(inner, before)


def _tame(git: Path, before: Before) -> Iterator[str]:
    for name in ("commondir", "config.worktree"):
        if _is_new(git / name, before):
            yield from _removed(git / name)
    hooks = git / "hooks"
    if hooks.is_symlink():
        yield from _removed(hooks)
    elif hooks.is_dir():
        yield from _removed(*(hook for hook in hooks.iterdir() if hook.suffix != ".sample" and _is_new(hook, before)))
    config = git / "config"
    if config.is_symlink():
        yield from _removed(config)
    elif config.is_file() and _is_new(config, before):
        yield from _tame_settings(config)


def _tame_settings(config: Path) -> Iterator[str]:
    listed = _git(config.parent, "config", "--file", str(config), "--no-includes", "--name-only", "--list", "-z")
    for key in dict.fromkeys(filter(None, os.fsdecode(listed).split("\0"))):
        if not _HARMLESS.fullmatch(key):
            _git(config.parent, "config", "--file", str(config), "--unset-all", key)
            yield f"{key} in {config}"


def _removed(*paths: Path) -> Iterator[str]:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            yield str(path)
        elif path.is_symlink() or path.exists():
            with suppress(OSError):
                path.unlink()
                yield str(path)


def _entry(root: str) -> tuple[int, float]:
    try:
        found = Path(root, ".git").lstat()
    except OSError:
        return (0, 0.0)
    return (found.st_ino, found.st_ctime)


def _is_new(path: Path, before: Before) -> bool:
    return _changed(path) >= before.since


def _changed(path: Path) -> float:
    """The last change of a file in any way, which its owner cannot set; 0 when it is not there."""
    try:
        return path.lstat().st_ctime
    except OSError:
        return 0.0


def _git(folder: Path, *words: str) -> bytes:
    """What git says, with no settings but those it is asked about; b"" when it fails."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    asked = ["git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", *words]
    try:
        done = subprocess.run(asked, cwd=folder, env=environment, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""


def git_folders(roots: Sequence[str], guarded: Sequence[str]) -> Iterator[GitFolder]:
    """The repositories of these folders; a folder of hooks is made, so that it can be guarded."""
    for root in roots:
        git = Path(root, ".git")
        if git.is_file() and not git.is_symlink():
            yield GitFolder(str(git))
        real = _real_folder(git)
        if real is not None and any(real.is_relative_to(each) for each in roots):
            if not (real / "hooks").is_symlink():
                (real / "hooks").mkdir(exist_ok=True)
            yield GitFolder(str(real), tuple(part for part in guarded if (real / part).exists()))


def _real_folder(git: Path) -> Path | None:
    """Where a repository is kept that `.git` is, leads to, or names."""
    if git.is_file():
        with git.open(errors="replace") as file:
            named = file.read(_MAX_PATH).removeprefix("gitdir:").strip()
        git = git.parent / named
    return Path(os.path.realpath(git)) if git.is_dir() else None
