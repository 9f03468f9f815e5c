"""Image files in the form models accept. The type comes from the content, not from the file name."""

import base64
import os
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 3_500_000
"""Maximum file size: providers accept at most 5 MB, and base64 is a third longer."""
_WEBP = (b"RIFF", b"WEBP")
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def _opened(path: Path) -> BinaryIO:
    """Open a file without waiting, as a named pipe would. Raises OSError."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def image_type(path: Path) -> str | None:
    """Return the media type of an image that models accept, or None for any other file. Raises OSError."""
    with _opened(path) as file:
        start = file.read(16)
    if (start[:4], start[8:12]) == _WEBP:
        return "image/webp"
    return next((type for signature, type in _SIGNATURES.items() if start.startswith(signature)), None)


def data_url(path: Path, type: str) -> str | None:
    """Return the image as a data URL, or None when it is too large. Raises OSError."""
    with _opened(path) as file:
        content = file.read(MAX_BYTES + 1)
    return None if len(content) > MAX_BYTES else f"data:{type};base64,{base64.b64encode(content).decode()}"
