"""Read files on the Hub, whole or in part."""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
"""URL prefix of a repository id, by repository type."""


def find_entry(api: "HfApi", repo: str, type: str, revision: str | None, path: str) -> Any:
    """Return the RepoFile or RepoFolder at a path, or None. Raises the library's errors."""
    found = api.get_paths_info(repo, [path], revision=revision, repo_type=type)
    return found[0] if found else None


def read_head(api: "HfApi", repo: str, type: str, revision: str | None, path: str, max_bytes: int) -> bytes:
    """Return the first `max_bytes` bytes of a file, with a ranged request. Raises the library's errors."""
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(endpoint=api.endpoint, token=api.token, skip_instance_cache=True)
    at = f"@{quote(revision, safe='')}" if revision else ""
    return bytes(files.cat_file(f"{PREFIXES[type]}{repo}{at}/{path}", start=0, end=max_bytes)) if max_bytes else b""


def read_text(api: "HfApi", repo: str, type: str, revision: str | None, path: str, max_bytes: int) -> str | None:
    """Return a text file, cut to `max_bytes`; None when it does not exist. Raises the library's errors."""
    found = find_entry(api, repo, type, revision, path)
    if found is None or not hasattr(found, "size"):
        return None
    return read_head(api, repo, type, revision, path, min(found.size, max_bytes)).decode("utf-8", "replace")
