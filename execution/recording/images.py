"""The images that a call wrote: of the files that were seen written and those that it names, the ones that are new."""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from ml_intern.text.images import image_type

MAX_IMAGES: Final = 10
"""Most images that are reported of one call."""
_SEARCHED: Final = 20_000
"""Characters of a text that are searched for names: its end."""
_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_BETWEEN = re.compile(r"[\s'\"`<>|:;,()\[\]{}=]+")


def possible_images(written: Iterable[str], texts: Iterable[str], folder: Path) -> tuple[Path, ...]:
    """Return the paths of images among the written files, and those that the texts name, relative to `folder`."""
    seen = [path for path in written if path.lower().endswith(_ENDINGS)]
    naming = [end for end in (text[-_SEARCHED:] for text in texts) if _names_image(end)]
    words = [word.rstrip(".!?") for end in naming for word in _BETWEEN.split(end)]
    named = [str(folder / word) for word in words if word.lower().endswith(_ENDINGS)]
    return tuple(Path(path) for path in dict.fromkeys(map(os.path.normpath, [*seen, *named])))


def _names_image(text: str) -> bool:
    lower = text.lower()
    return any(ending in lower for ending in _ENDINGS)


def new_images(paths: Iterable[Path], roots: Sequence[Path], began: int) -> tuple[str, ...]:
    """Return those that are images below the roots and changed since `began`, in nanoseconds of file times."""
    found = (str(path) for path in paths if _is_new_image(path, roots, began))
    return tuple(path for path, _ in zip(found, range(MAX_IMAGES), strict=False))


def _is_new_image(path: Path, roots: Sequence[Path], began: int) -> bool:
    try:
        about = path.lstat()
        is_new = stat.S_ISREG(about.st_mode) and about.st_ctime_ns >= began
        inside = is_new and any(path.resolve().is_relative_to(root) for root in roots)
        return inside and image_type(path) is not None
    except (OSError, ValueError):
        return False
