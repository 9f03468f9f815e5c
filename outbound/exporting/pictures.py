"""The image files that a thread made: named in its messages, inside its folder, and changed since it was created."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ml_intern.outbound.conversation import Conversation
from ml_intern.text.images import data_url, image_type

MAX_PICTURES: Final = 20
MAX_CHARACTERS: Final = 20_000_000
"""Maximum size of all embedded images together, as data URLs."""
_NAME: Final = re.compile(r"[\w./+-]+\.(?:png|jpe?g|gif|webp)\b", re.IGNORECASE)
_MAX_NAMES: Final = 500


@dataclass(frozen=True)
class Picture:
    """An image file of the workspace. `url` is a data URL."""

    name: str
    url: str


def pictures_of(conversation: Conversation) -> list[Picture]:
    """Return the images, in the order in which the messages name them. Missing and very large files are left out.

    A file that is older than the thread is not one it made, and a link that leads out of the folder is not followed.
    """
    if not conversation.folder or conversation.created is None:
        return []
    folder = Path(conversation.folder)
    found: dict[Path, Picture] = {}
    size = 0
    for name in list(dict.fromkeys(_names(conversation)))[:_MAX_NAMES]:
        picture = _picture(folder, name, conversation.created)
        if picture is None or picture[0] in found or size + len(picture[1].url) > MAX_CHARACTERS:
            continue
        found[picture[0]] = picture[1]
        size += len(picture[1].url)
        if len(found) == MAX_PICTURES:
            break
    return list(found.values())


def _names(conversation: Conversation) -> Iterator[str]:
    for message in conversation.messages:
        yield from _NAME.findall(message.text)
        for call in message.calls:
            yield from (name for text in _texts(call.args) for name in _NAME.findall(text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _picture(folder: Path, name: str, since: float) -> tuple[Path, Picture] | None:
    try:
        root = folder.resolve(strict=True)
        path = (root / name).resolve(strict=True)
        if not path.is_relative_to(root) or not path.is_file() or path.stat().st_mtime < since:
            return None
        kind = image_type(path)
        url = data_url(path, kind) if kind else None
    except (OSError, ValueError):  # missing, unreadable or not a path
        return None
    return None if url is None else (path, Picture(path.relative_to(root).as_posix(), url))
