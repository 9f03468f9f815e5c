"""Adds files that a message mentions as `@path`: text as a block, images as images. Finds their outside sources."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.advice import advice_paths
from ml_intern.execution.file_sources import sources_of_files
from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import UserInput
from ml_intern.safety.files.private import is_private_file
from ml_intern.text.digests import file_digest
from ml_intern.text.formatting import capped, size
from ml_intern.text.images import MAX_BYTES as MAX_IMAGE_BYTES
from ml_intern.text.images import data_url, image_type
from ml_intern.tools.local.external_files import external_source

if TYPE_CHECKING:
    from ml_intern.store.store import Store

MAX_BYTES = 100_000
MAX_NAMES = 200
_MENTION = re.compile(r'(?<!\S)@(?:"([^"\n]+)"|(\S+))')
_ENDING = re.compile(r"\.(?:cfg|csv|html|ini|ipynb|jpe?g|jsonl?|log|md|parquet|pdf|png|py|sh|toml|txt|ya?ml)$")
_CLOSING = ",.;:!?)]}'\""


@dataclass(frozen=True)
class Expanded:
    """A message with its files, one note per mention for the user, and images as data URLs."""

    text: str
    notes: tuple[str, ...]
    images: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """The origins of files that were downloaded."""


def expand_mentions(text: str, workspace: Path, add_dirs: Sequence[str] = (), no_images: str = "") -> Expanded:
    """Append the files that `text` mentions, each once. A path that does not exist stays as it is, with a note.

    `no_images` is the name of the model if it does not accept images, else "".
    """
    blocks: dict[Path, str] = {}
    notes: list[str] = []
    images: list[str] = []
    for quoted, bare in _MENTION.findall(text):
        path = _existing(quoted or bare, workspace)
        if path is None and _is_path(quoted, bare):
            notes.append(f"@{quoted or bare} is not a file here: nothing was added")
        if path is None or path in blocks:
            continue
        if not _allowed(path, quoted or bare, workspace, add_dirs):
            notes.append(f"@{quoted or bare} is outside the working folder and was not added")
            continue
        blocks[path], note, url = _block(path, workspace, no_images)
        notes.append(note)
        images += filter(None, [url])
    roots = [workspace.resolve(), *(Path(folder).resolve() for folder in add_dirs)]
    sources = dict.fromkeys(filter(None, (external_source(path, roots) for path in blocks)))
    return Expanded("\n\n".join([text, *blocks.values()]), tuple(notes), tuple(images), tuple(sources))


@dataclass(frozen=True)
class InputFiles:
    """The contribution of the files in a message to the conversation."""

    sources: tuple[str, ...]
    """The outside sources of these files, and of the advice in the prompt."""
    reads: Mapping[str, str]
    """Path -> digest of these files, which count as read; "" for a private file that was added in part."""


async def examine_input(store: "Store", message: UserInput, options: RunOptions) -> InputFiles:
    """Return what the files in a message and the advice in the prompt bring into the conversation."""
    added, advice = await asyncio.to_thread(_input_files, message, options)
    roots = (*_roots(options), str(store.home.resolve()))
    reads = await asyncio.to_thread(lambda: dict(_reads(added, roots)))
    return InputFiles(await sources_of_files(store, [*advice, *added]), reads)


def _input_files(message: UserInput, options: RunOptions) -> tuple[list[Path], list[Path]]:
    workspace = Path(options.workspace)
    return list(_mentioned(message, options)), advice_paths(workspace) if options.advice else []


def _roots(options: RunOptions) -> list[str]:
    return [str(Path(folder).resolve()) for folder in (options.workspace, *options.add_dirs)]


def _mentioned(message: UserInput, options: RunOptions) -> Iterator[Path]:
    """Yield the files that were added to a message."""
    if message.typed is None or message.typed == message.text:
        return
    workspace = Path(options.workspace)
    for quoted, bare in _MENTION.findall(message.typed):
        path = _existing(quoted or bare, workspace)
        if path is not None and path.is_file() and _allowed(path, quoted or bare, workspace, options.add_dirs):
            yield path


def _reads(added: Iterable[Path], roots: Sequence[str]) -> Iterator[tuple[str, str]]:
    for path in added:
        is_whole = path.stat().st_size <= MAX_BYTES
        if is_whole or is_private_file(str(path), tuple(roots)):
            yield str(path), file_digest(path) if is_whole else ""


def _existing(name: str, workspace: Path) -> Path | None:
    for candidate in (name, name.rstrip(_CLOSING)):
        try:
            path = (workspace / Path(candidate).expanduser()).resolve() if candidate else None
            if path and path.exists():
                return path
        except (OSError, RuntimeError, ValueError):
            continue
    return None


def _is_path(quoted: str, bare: str) -> bool:
    """Return whether a mention can only mean a path: it is quoted, or has a folder or an ending."""
    return bool(quoted or "/" in bare or _ENDING.search(bare.rstrip(_CLOSING)))


def _allowed(path: Path, name: str, workspace: Path, add_dirs: Sequence[str]) -> bool:
    """Return whether a file may be added: one of the folders, or an image that the user named by its whole path."""
    if any(path.is_relative_to(root.resolve()) for root in (workspace, *map(Path, add_dirs))):
        return True
    return Path(name).expanduser().is_absolute() and _is_image(path)


def _is_image(path: Path) -> bool:
    try:
        return path.is_file() and image_type(path) is not None
    except OSError:
        return False


def _block(path: Path, workspace: Path, no_images: str) -> tuple[str, str, str | None]:
    """Return the text to add to the message, the note for the user, and the image or None."""
    root = workspace.resolve()
    name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    try:
        if path.is_dir():
            names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
            listing = "\n".join(capped(names, MAX_NAMES))
            return f'<folder path="{name}">\n{listing}\n</folder>', f"added the list of files in {name}", None
        if path.is_file() and (kind := image_type(path)):
            return _image(path, name, kind, no_images)
        return *_file(path, name), None
    except OSError as error:
        text = f'<file path="{name}">(cannot be read: {error.strerror})</file>'
        return text, f"cannot read {name}: {error.strerror}", None


def _image(path: Path, name: str, kind: str, no_images: str) -> tuple[str, str, str | None]:
    url = None if no_images else data_url(path, kind)
    if url is not None:
        return f'<file path="{name}">(an image, shown with this message)</file>', f"added the image {name}", url
    too_large = f"it is larger than {MAX_IMAGE_BYTES // 1_000_000} MB"
    why = f"{no_images} does not accept images" if no_images else too_large
    return f'<file path="{name}">(an image)</file>', f"{name} was not sent: {why}; only its name was added", None


def _file(path: Path, name: str) -> tuple[str, str]:
    if not path.is_file():
        return f'<file path="{name}">(not a regular file)</file>', f"{name} is not a regular file"
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    whole = path.stat().st_size
    if b"\0" in content:
        return f'<file path="{name}">(binary, {size(whole)})</file>', f"{name} is binary; only its name was added"
    text = content[:MAX_BYTES].decode("utf-8", errors="replace")
    if whole <= MAX_BYTES:
        return f'<file path="{name}">\n{text.rstrip()}\n</file>', f"added {name}"
    cut = f"(truncated: the first {MAX_BYTES} of {whole} bytes; use the tool read for the rest)"
    return f'<file path="{name}">\n{text}\n{cut}\n</file>', f"added the beginning of {name}"
