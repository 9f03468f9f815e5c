"""`@path` in a message: the file's content is added to it as a block, an image as such."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_intern.tools.local.external_files import external_source
from ml_intern.tools.local.images import MAX_BYTES as MAX_IMAGE_BYTES
from ml_intern.tools.local.images import data_url, image_type

MAX_BYTES = 100_000
MAX_NAMES = 200
_MENTION = re.compile(r'(?<!\S)@(?:"([^"\n]+)"|(\S+))')
_CLOSING = ",.;:!?)]}'\""


@dataclass(frozen=True)
class Expanded:
    """The message with its files, a word on each mention for the user, and images as data URLs."""

    text: str
    notes: tuple[str, ...]
    images: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Where those of the files came from that are not the user's own work."""


def expand_mentions(text: str, workspace: Path, add_dirs: Sequence[str] = (), blind: str = "") -> Expanded:
    """Append the files that `text` mentions, each once. A mention of nothing that exists stays a word.

    `blind` is the model when it does not see images.
    """
    blocks: dict[Path, str] = {}
    notes: list[str] = []
    images: list[str] = []
    for quoted, bare in _MENTION.findall(text):
        path = _existing(quoted or bare, workspace)
        if path is None or path in blocks:
            continue
        if not _allowed(path, workspace, add_dirs):
            notes.append(f"@{quoted or bare} is outside the working folder and was not added")
            continue
        blocks[path], note, url = _block(path, workspace, blind)
        notes.append(note)
        images += filter(None, [url])
    roots = [workspace.resolve(), *(Path(folder).resolve() for folder in add_dirs)]
    sources = dict.fromkeys(filter(None, (external_source(path, roots) for path in blocks)))
    return Expanded("\n\n".join([text, *blocks.values()]), tuple(notes), tuple(images), tuple(sources))


def _existing(name: str, workspace: Path) -> Path | None:
    for candidate in (name, name.rstrip(_CLOSING)):
        try:
            path = (workspace / Path(candidate).expanduser()).resolve() if candidate else None
            if path and path.exists():
                return path
        except (OSError, RuntimeError, ValueError):
            continue
    return None


def _allowed(path: Path, workspace: Path, add_dirs: Sequence[str]) -> bool:
    return any(path.is_relative_to(root.resolve()) for root in (workspace, *map(Path, add_dirs)))


def _block(path: Path, workspace: Path, blind: str) -> tuple[str, str, str | None]:
    """What is added to the message, what is said of it, and the image."""
    root = workspace.resolve()
    name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    try:
        if path.is_dir():
            names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
            more = f"\n… {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            listing = "\n".join(names[:MAX_NAMES])
            return f'<folder path="{name}">\n{listing}{more}\n</folder>', f"added the names in {name}", None
        if path.is_file() and (kind := image_type(path)):
            return _image(path, name, kind, blind)
        return *_file(path, name), None
    except OSError as error:
        said = f'<file path="{name}">(cannot be read: {error.strerror})</file>'
        return said, f"cannot read {name}: {error.strerror}", None


def _image(path: Path, name: str, kind: str, blind: str) -> tuple[str, str, str | None]:
    url = None if blind else data_url(path, kind)
    if url is not None:
        return f'<file path="{name}">(an image, shown with this message)</file>', f"added the image {name}", url
    why = f"{blind} does not see images" if blind else f"it is larger than {MAX_IMAGE_BYTES // 1_000_000} MB"
    return f'<file path="{name}">(an image)</file>', f"{name} is not shown: {why}; only its name was added", None


def _file(path: Path, name: str) -> tuple[str, str]:
    if not path.is_file():
        return f'<file path="{name}">(no regular file)</file>', f"{name} is not a regular file"
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    whole = path.stat().st_size
    if b"\0" in content:
        return f'<file path="{name}">(binary, {whole} bytes)</file>', f"{name} is binary: only its name was added"
    text = content[:MAX_BYTES].decode("utf-8", errors="replace")
    if whole <= MAX_BYTES:
        return f'<file path="{name}">\n{text.rstrip()}\n</file>', f"added {name}"
    cut = f"(cut: the first {MAX_BYTES} of {whole} bytes; read shows the rest)"
    return f'<file path="{name}">\n{text}\n{cut}\n</file>', f"added the beginning of {name}"
