"""Recognise files of the workspace from outside: other repositories, downloads from the Hub, installed packages."""

from collections.abc import Iterable
from pathlib import Path

_INSTALLED = frozenset({"site-packages", "dist-packages", "node_modules"})
_HUB_FOLDER = Path(".cache/huggingface/download")
"""Where the Hub's client records its downloads into a local folder."""


def external_source(path: Path, roots: Iterable[Path]) -> str:
    """Return where a file or folder came from, or "" for the user's own work. Paths must be resolved."""
    for root in roots:
        if path.is_relative_to(root):
            return _source(path, root)
    return ""


def _source(path: Path, root: Path) -> str:
    inside = path.relative_to(root)
    if not _INSTALLED.isdisjoint(inside.parts):
        return f"an installed package ({inside})"
    folders = [folder for folder in (path, *path.parents) if folder.is_relative_to(root)]
    for folder in folders:
        record = folder / _HUB_FOLDER / f"{path.relative_to(folder)}.metadata"
        if record.is_file():
            return f"a download from the Hub ({inside})"
    repository = next((folder for folder in folders if folder != root and (folder / ".git").exists()), None)
    return f"the repository {repository.relative_to(root)} ({inside})" if repository else ""
