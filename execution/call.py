"""A tool call and its result as plain values."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ml_intern.store.journal import CallKey

Status = Literal["done", "failed", "invalid", "refused", "timeout", "interrupted"]


class ToolError(Exception):
    """A failure and its remedy in one short text. It becomes a failed result, never a traceback."""

    taint: tuple[str, ...] = ()
    """Outside sources quoted in the text."""


@dataclass(frozen=True)
class ToolResult:
    """The result of a call. The model sees only `text`, so a failure is stated there too."""

    text: str
    ok: bool = True
    status: Status = "done"
    state: Mapping[str, Any] | None = None
    """A partial AgentState to write, for example the plan."""
    artifact: str | None = None
    """Path of the file with the full text when `text` is shortened."""
    taint: tuple[str, ...] = ()
    """Outside sources whose text is in the result."""
    images: tuple[str, ...] = ()
    """Images as data URLs."""
    file_reads: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path -> digest of the files whose content the model now knows."""
    file_sources: tuple[str, ...] = ()
    """Outside sources of the files that the call wrote, if their text is not in the result."""
    images_written: tuple[str, ...] = ()
    """Paths of images that the call wrote, for the user."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as the journal stores it."""
        return {
            "text": self.text,
            "ok": self.ok,
            "status": self.status,
            "state": dict(self.state) if self.state is not None else None,
            "artifact": self.artifact,
            "taint": list(self.taint),
            "images": list(self.images),
            "file_reads": dict(self.file_reads),
            "images_written": list(self.images_written),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ToolResult":
        """Restore a result from `as_json`."""
        lists = {name: tuple(data.get(name, ())) for name in ("taint", "images", "images_written")}
        return cls(**{**data, **lists})


def failure(text: str, status: Status = "failed") -> ToolResult:
    """Return a failed result. Its text begins with "error:" because providers do not pass the status on."""
    return ToolResult(text=f"error: {text}", ok=False, status=status)


@dataclass(frozen=True)
class ToolCall:
    """One tool call of a model's reply. `index` is its position among the calls of that AIMessage."""

    name: str
    args: Mapping[str, Any]
    id: str
    message_id: str
    index: int

    def key(self, thread_id: str) -> CallKey:
        """Return the call's key in the journal."""
        return CallKey(thread_id, self.message_id, self.index)

    def digest(self, workspace: str | Path, profile: str) -> str:
        """Return the sha256 of the tool, its canonical arguments, the folder and the sandbox profile."""
        canonical = json.dumps([self.name, self.args, str(workspace), profile], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def is_saved_output(path: Path, home: Path, threads: Collection[str] | None = None) -> bool:
    """Return whether `path` is a thread's artifact or a run's log. Both paths are resolved.

    With `threads`, only the artifacts of these threads count.
    """
    artifacts = home / "artifacts"
    if not path.is_relative_to(artifacts):
        return path.is_relative_to(home / "runs") and path.name == "log.txt"
    return threads is None or any(path.is_relative_to(artifacts / id) for id in threads)


def call_mark(key: CallKey) -> str:
    """Return the mark of the processes of the call with this key."""
    return f"{key.thread_id}/{key.message_id}/{key.index}".replace(":", "_")


def real_path(path_text: str, workspace: Path) -> Path:
    """Resolve `path_text` against `workspace`, following symlinks. `~` is the user's home.

    Raises:
        ToolError: the text is not a usable path.
    """
    if not path_text.strip():
        raise ToolError("the path is empty; give the path of a file")
    try:
        return (workspace / Path(path_text).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ToolError(f"invalid path {path_text[:200]!r}: {error}") from error
