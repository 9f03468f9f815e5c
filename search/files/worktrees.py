"""The worktrees and branches of a search: one for each attempt, `improve/ID/N`. The user's branch is never touched."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import UsageError
from ml_intern.configs.paths import data_home, private_folder
from ml_intern.search.files.copies import LARGE, is_left_out, linked_places, place_data
from ml_intern.search.files.git import SearchGit, create_repository, repository_of

_MAX_CHANGE: Final = 100_000
_COMPLETE: Final = "ml-intern-complete"
"""The file in git's folder of a worktree that shows that all its files are there: a kill may have come before."""
_MESSAGE: Final = "The state from which the search {} starts"


def searches_home() -> Path:
    """Return the folder with the worktrees of all searches. It is beside the data folder, which agents cannot read."""
    return data_home().with_name(f"{data_home().name}-searches")


@dataclass(frozen=True)
class SearchFiles:
    """The repository and the worktrees of one search. The methods block: call them in a thread."""

    search_id: str
    folder: Path
    """The user's working folder."""
    repository: Path
    top: Path
    """The top of the user's work tree."""
    private: bool = False
    """The repository belongs to the search, since the folder has none with a commit."""
    holdout: str = ""

    @classmethod
    def of(cls, search_id: str, folder: Path, holdout: str = "") -> "SearchFiles":
        """Return the files of a search in a folder."""
        found = repository_of(folder)
        home = searches_home() / search_id
        if found is not None and not (home / "repository").exists():
            files = cls(search_id, folder, *found, holdout=holdout)
            if files._users.result("rev-parse", "--verify", "-q", "HEAD").returncode == 0:
                return files
        return cls(search_id, folder, home / "repository", folder, private=True, holdout=holdout)

    @property
    def home(self) -> Path:
        """Return the folder of the search's own files."""
        return searches_home() / self.search_id

    @property
    def _users(self) -> SearchGit:
        return SearchGit(self.repository, self.top)

    def branch(self, number: int | str) -> str:
        """Return the branch of an attempt."""
        return f"improve/{self.search_id}/{number}"

    def worktree(self, number: int | str) -> Path:
        """Return the top of the worktree of an attempt."""
        return self.home / f"improve-{self.search_id}-{number}"

    def workspace(self, number: int | str) -> Path:
        """Return the folder in the worktree of an attempt that corresponds to the user's working folder."""
        return self.worktree(number) / self.folder.relative_to(self.top)

    def begin(self) -> str:
        """Commit the present state of the user's files to the branch of the baseline, and return the commit.

        Uncommitted changes are part of it. The user's index, branch and files stay as they are.
        """
        private_folder(searches_home())
        private_folder(self.home)
        if self.private and not (self.repository / "HEAD").exists():
            create_repository(self.repository)
        index = self.home / "index"
        index.unlink(missing_ok=True)
        git = SearchGit(self.repository, self.top, index)
        head = [] if self.private else [self._users.run("rev-parse", "HEAD").strip()]
        if head:
            git.run("read-tree", head[0])
        left_out = [f":(top,exclude,literal){name}" for name in self._large_untracked(git)]
        git.run("add", "-A", "--", ":/", *left_out)
        tree = git.run("write-tree").strip()
        index.unlink(missing_ok=True)
        if head and tree == git.run("rev-parse", f"{head[0]}^{{tree}}").strip():
            commit = head[0]
        else:
            parents = [word for one in head for word in ("-p", one)]
            commit = git.run("commit-tree", tree, *parents, "-m", _MESSAGE.format(self.search_id)).strip()
        git.run("branch", "-f", self.branch(0), commit)
        return commit

    def _large_untracked(self, git: SearchGit) -> list[str]:
        """Return untracked files that are not committed: large ones, those with keys, and the hold-out."""
        names = git.names("ls-files", "-o", "--exclude-standard", "--", ":/")
        return [name.rstrip("/") for name in names if self._stays_out(self.top / name)]

    def _stays_out(self, path: Path) -> bool:
        if path.is_symlink():
            return False
        hidden = bool(self.holdout) and path.resolve() == Path(self.holdout)
        return hidden or is_left_out(path.name) or path.is_dir() or (path.is_file() and path.stat().st_size >= LARGE)

    def tracks(self, path: Path) -> bool:
        """Return whether git tracks a file of the user."""
        if not path.is_relative_to(self.top) or self.private:
            return False
        name = str(path.relative_to(self.top))
        return self._users.result("ls-files", "--error-unmatch", "--", name).returncode == 0

    def open(self, number: int | str, start: str) -> Path:
        """Return the workspace of an attempt. A missing worktree is made anew, from its branch or from `start`."""
        top = self.worktree(number)
        self._remove_locks(number)
        if (self._administration(number) / _COMPLETE).is_file() and (top / ".git").is_file():
            return self.workspace(number)
        shutil.rmtree(top, ignore_errors=True)
        self._users.run("worktree", "prune")
        branch = self.branch(number)
        if self._users.result("rev-parse", "--verify", "-q", f"refs/heads/{branch}").returncode != 0:
            self._users.run("branch", branch, start)
        try:
            self._users.run("worktree", "add", "-f", "-f", str(top), branch)  # twice: a killed git leaves it locked
            self._place_data(top)
            (self._administration(number) / _COMPLETE).touch()
        except BaseException:
            shutil.rmtree(top, ignore_errors=True)
            raise
        return self.workspace(number)

    def _remove_locks(self, number: int | str) -> None:
        """Remove the locks of a git that was killed. No other git works here: a search has one process."""
        administration = self._administration(number)
        for lock in (
            *administration.glob("*.lock"),
            administration.parents[1] / f"refs/heads/{self.branch(number)}.lock",
        ):
            lock.unlink(missing_ok=True)

    def _place_data(self, top: Path) -> None:
        """Place what git does not track into a worktree: ignored data, large files and submodules."""
        git = SearchGit(self.repository, self.top)
        ignored = git.names("ls-files", "-o", "-i", "--exclude-standard", "--directory", "--", ":/")
        staged = [line.split("\t", 1) for line in git.names("ls-files", "-s")]
        modules = [name for head, name in staged if head.startswith("160000")] if not self.private else []
        for name in modules:
            if (top / name).is_dir() and not any((top / name).iterdir()):
                (top / name).rmdir()
        for name in [*ignored, *self._large_untracked(git), *modules]:
            source = self.top / name.rstrip("/")
            hidden = bool(self.holdout) and source.resolve() == Path(self.holdout)
            if not hidden and not self._contains_home(source):
                place_data(source, top / name.rstrip("/"))

    def _contains_home(self, source: Path) -> bool:
        return any(home.is_relative_to(source.resolve()) for home in (self.home.resolve(), data_home().resolve()))

    def _administration(self, number: int | str) -> Path:
        common = self._users.run("rev-parse", "--path-format=absolute", "--git-common-dir").strip()
        return Path(common) / "worktrees" / self.worktree(number).name

    def git(self, number: int | str) -> SearchGit:
        """Return git for the worktree of an attempt."""
        return SearchGit(self._administration(number), self.worktree(number))

    def commit(self, number: int | str, message: str) -> str:
        """Commit all changes in a worktree to its branch, and return the commit. Large new files stay uncommitted."""
        git = self._staged(number)
        if (git.repository / "MERGE_HEAD").exists():
            (git.repository / "MERGE_HEAD").unlink()
        if git.result("diff", "--cached", "--quiet", "HEAD").returncode != 0:
            git.run("commit", "-q", "--no-verify", "-F", "-", given=message or "An attempt")
        head = git.run("rev-parse", "HEAD").strip()
        self._users.run("update-ref", f"refs/heads/{self.branch(number)}", head)
        return head

    def has_change(self, number: int | str, start: str) -> bool:
        """Return whether a worktree differs from a commit in what would be committed."""
        return self._staged(number).result("diff", "--cached", "--quiet", start).returncode != 0

    def _staged(self, number: int | str) -> SearchGit:
        """Stage all changes in a worktree but large new files. Return its git."""
        git = self.git(number)
        large = [f":(top,exclude,literal){name}" for name in self._large_new(git)]
        git.run("add", "-A", "--", ":/", *large)
        return git

    def _large_new(self, git: SearchGit) -> list[str]:
        """Return new files that do not belong in a commit: large ones, and the links that were placed."""
        placed = self.linked_names(git.folder)
        names = git.names("ls-files", "-o", "--exclude-standard", "--", ":/")
        return [
            name for name in (one.rstrip("/") for one in names)
            if name in placed or is_left_out(Path(name).name)
            or ((git.folder / name).is_file() and (git.folder / name).stat().st_size >= LARGE)
        ]  # fmt: skip

    def linked_names(self, top: Path) -> set[str]:
        """Return the names of the links in a worktree that lead to the user's files."""
        names = SearchGit(self.repository, self.top).names("ls-files", "-o", "--directory", "--", ":/")
        return {name.rstrip("/") for name in names if (top / name.rstrip("/")).is_symlink()}

    def shown(self, number: int | str) -> tuple[str, ...]:
        """Return the places outside a worktree that its links lead to."""
        hidden = {self.holdout}
        return tuple(path for path in linked_places(self.worktree(number)) if path not in hidden)

    def changed(self, start: str, commit: str) -> list[str]:
        """Return the names of the files that differ between two commits, relative to the top of the work tree."""
        return self._users.names("diff", "--name-only", "--no-renames", start, commit)

    def tree_of(self, commit: str) -> str:
        """Return the tree of a commit: equal for equal files."""
        return self._users.run("rev-parse", f"{commit}^{{tree}}").strip()

    def diff(self, start: str, commit: str, *options: str) -> str:
        """Return the changes between two commits."""
        return self._users.run("diff", "--no-color", "--no-ext-diff", "--no-textconv", *options, start, commit)

    def change_line(self, start: str, commit: str) -> str:
        """Return the changes between two commits in one line: "train.py +3 -1"."""
        lines = self._users.run("diff", "--numstat", "--no-renames", start, commit).splitlines()
        parts = [line.split("\t") for line in lines]
        shown = [f"{name} +{added} -{removed}" for added, removed, name in parts[:3]]
        return ", ".join([*shown, *([f"{len(parts) - 3} more"] if len(parts) > 3 else [])])[:200]

    def merge(self, number: int, other: str) -> bool:
        """Merge a commit into a worktree without committing. Return False, and undo it, if they conflict."""
        git = self.git(number)
        done = git.result("merge", "--no-commit", "--no-ff", "-q", other)
        if done.returncode == 0:
            return True
        git.run("reset", "--hard", "-q", "HEAD")
        return False

    def revert(self, name: str, start: str, commit: str) -> bool:
        """Take the changes between two commits out of a worktree. Return False if later changes overlap."""
        patch = self.diff(start, commit, "--binary", "--full-index")
        git = self.git(name)
        if not patch or git.result("apply", "--3way", "-R", "--index", "-", given=patch).returncode == 0:
            return True
        git.run("reset", "--hard", "-q", "HEAD")
        return False

    def close(self, number: int | str) -> None:
        """Remove a worktree. Its branch stays."""
        shutil.rmtree(self.worktree(number), ignore_errors=True)

    def close_all(self) -> None:
        """Remove all worktrees. The branches stay."""
        for path in self.home.glob(f"improve-{self.search_id}-*"):
            shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(self.home / "copies", ignore_errors=True)
        if (self.repository / "HEAD").exists():
            self._users.run("worktree", "prune")

    def remove_branch(self, name: str) -> None:
        """Remove the worktree and the branch of a temporary attempt."""
        self.close(name)
        self._users.run("worktree", "prune")
        self._users.result("branch", "-D", self.branch(name))


def check_place(folder: Path) -> None:
    """Raise UsageError if a search cannot work in this folder."""
    home = searches_home().resolve()
    if home.is_relative_to(folder.resolve()):
        raise UsageError(f"{folder} contains the folder {home} of the searches", "choose a project folder with -C DIR")
