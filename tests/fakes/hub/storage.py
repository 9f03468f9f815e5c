"""Repositories in memory: blobs, commits, branches, tags and pull requests, as a Hub keeps them."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import yaml

KINDS = ("models", "datasets", "spaces")
PULLS = "refs/pr/"
_LFS_SUFFIXES = (".parquet", ".safetensors", ".bin", ".gguf", ".arrow", ".zip", ".png", ".pt")
_numbers = itertools.count(1)


def upload_mode(path: str, size: int) -> str:
    """How a file of this name and size is to be uploaded."""
    return "lfs" if path.endswith(_LFS_SUFFIXES) or size > 10 * 1024 * 1024 else "regular"


@dataclass(frozen=True)
class Blob:
    """The content of a file. With `size` it is as long as that, zeros behind `content`: large without the memory."""

    content: bytes = b""
    lfs: bool = False
    size: int = -1

    def __len__(self) -> int:
        return len(self.content) if self.size < 0 else self.size

    def read(self, start: int, stop: int) -> bytes:
        part = self.content[start:stop]
        return part + bytes(max(min(stop, len(self)) - start, 0) - len(part))

    @cached_property
    def sha256(self) -> str:
        suffix = f"+{self.size}".encode() if self.size >= 0 else b""
        return hashlib.sha256(self.content + suffix).hexdigest()

    @cached_property
    def oid(self) -> str:
        """The git object id: of the pointer file when it is in LFS."""
        stored = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def pointer(self) -> bytes:
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.sha256}\nsize {len(self)}\n".encode()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


Files = Mapping[str, Blob]


@dataclass(frozen=True)
class Commit:
    """A commit with all the files it leads to."""

    id: str
    title: str
    message: str
    author: str
    date: datetime
    files: Files
    parent: "Commit | None" = None

    def history(self) -> Iterator["Commit"]:
        commit: Commit | None = self
        while commit is not None:
            yield commit
            commit = commit.parent


@dataclass
class Repository:
    """A repository of a kind in KINDS. Change it by `commit`."""

    kind: str
    id: str
    private: bool = False
    gated: str | bool = False
    granted: set[str] = field(default_factory=set[str])
    """Users who may read the files of a gated repository."""
    sdk: str | None = None
    downloads: int = 0
    likes: int = 0
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    branches: dict[str, Commit] = field(default_factory=dict[str, Commit])
    tags: dict[str, Commit] = field(default_factory=dict[str, Commit])
    pulls: dict[int, Commit] = field(default_factory=dict[int, Commit])
    discussions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    """Merged into what the Hub tells about it."""

    @property
    def namespace(self) -> str:
        return self.id.partition("/")[0]

    @property
    def url_id(self) -> str:
        return self.id if self.kind == "models" else f"{self.kind}/{self.id}"

    @property
    def files(self) -> Files:
        return self.branches["main"].files if "main" in self.branches else {}

    def text(self, path: str, revision: str = "main") -> str:
        commit = self.find(revision)
        assert commit is not None, f"{self.id} has no revision {revision}"
        return commit.files[path].content.decode()

    def find(self, revision: str) -> Commit | None:
        if revision.startswith(PULLS) and revision[len(PULLS) :].isdigit():
            return self.pulls.get(int(revision[len(PULLS) :]))
        revision = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        named = self.branches.get(revision) or self.tags.get(revision)
        return named or self._by_id(revision)

    def _by_id(self, revision: str) -> Commit | None:
        tips = [*self.branches.values(), *self.tags.values(), *self.pulls.values()]
        every = (commit for tip in tips for commit in tip.history())
        return next((c for c in every if len(revision) >= 7 and c.id.startswith(revision)), None)

    def commit(self, changes: Mapping[str, Blob | None], title: str = "Update", **about: Any) -> Commit:
        """Put a commit on a branch or a pull request (`revision`); None deletes a file, or a folder by its `name/`."""
        revision = about.pop("revision", "main")
        parent = self.find(revision)
        files = dict(parent.files) if parent else {}
        for path, blob in changes.items():
            for gone in [name for name in files if name == path or (path.endswith("/") and name.startswith(path))]:
                del files[gone]
            if blob is not None:
                files[path] = blob
        commit = Commit(
            id=hashlib.sha1(f"commit {next(_numbers)}".encode()).hexdigest(),
            title=title,
            message=about.get("message", ""),
            author=about.get("author", self.namespace),
            date=datetime.now(UTC),
            files=files,
            parent=parent,
        )
        self.move_to(revision, commit)
        return commit

    def move_to(self, revision: str, commit: Commit) -> None:
        if revision.startswith(PULLS):
            self.pulls[int(revision[len(PULLS) :])] = commit
        else:
            self.branches[revision.removeprefix("refs/heads/")] = commit

    @property
    def card(self) -> dict[str, Any]:
        """The metadata at the head of its README."""
        text = self.files["README.md"].content.decode() if "README.md" in self.files else ""
        if not text.startswith("---\n"):
            return {}
        return yaml.safe_load(text[4:].partition("\n---")[0]) or {}

    @property
    def labels(self) -> list[str]:
        """The tags the Hub makes of the card."""
        card, found = self.card, list[str](self.card.get("tags") or [])
        for name, prefix in (("license", "license:"), ("language", "language:"), ("datasets", "dataset:")):
            values = card.get(name) or []
            found += [prefix + str(one) for one in ([values] if isinstance(values, str) else values)]
        for name in ("library_name", "pipeline_tag"):
            found += [card[name]] if card.get(name) else []
        found += [f"task_categories:{one}" for one in card.get("task_categories") or []]
        return [*found, *self.extra.get("tags", [])]


class Storage:
    """All repositories and the contents that were uploaded before their commit."""

    def __init__(self) -> None:
        self._repositories: dict[tuple[str, str], Repository] = {}
        self.uploaded: dict[str, bytes] = {}
        """sha256 -> content."""

    def find(self, kind: str, id: str) -> Repository | None:
        return self._repositories.get((kind, id.lower()))

    def add(self, repository: Repository) -> Repository:
        self._repositories[repository.kind, repository.id.lower()] = repository
        return repository

    def remove(self, repository: Repository) -> None:
        del self._repositories[repository.kind, repository.id.lower()]

    def all(self, kind: str) -> list[Repository]:
        return [repository for (found, _), repository in self._repositories.items() if found == kind]

    def content(self, sha256: str) -> bytes | None:
        if sha256 in self.uploaded:
            return self.uploaded[sha256]
        tips = (tip for one in self._repositories.values() for tip in [*one.branches.values(), *one.pulls.values()])
        blobs = (blob for tip in tips for commit in tip.history() for blob in commit.files.values())
        return next((blob.content for blob in blobs if blob.lfs and blob.sha256 == sha256), None)
