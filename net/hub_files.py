"""The content of files on the Hub, fetched in part."""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
"""What stands before org/name in addresses."""


def entry(api: "HfApi", repo: str, type: str, revision: str | None, path: str) -> Any:
    """What is at a path: the library's RepoFile or RepoFolder, or None. Raises what the library raises."""
    found = api.get_paths_info(repo, [path], revision=revision, repo_type=type)
    return found[0] if found else None


def beginning(api: "HfApi", repo: str, type: str, revision: str | None, path: str, most: int) -> bytes:
    """The first `most` bytes of a file, by a ranged request. Raises what the library raises."""
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(endpoint=api.endpoint, token=api.token, skip_instance_cache=True)
    at = f"@{quote(revision, safe='')}" if revision else ""
    return bytes(files.cat_file(f"{PREFIXES[type]}{repo}{at}/{path}", start=0, end=most)) if most else b""


def text(api: "HfApi", repo: str, type: str, revision: str | None, path: str, most: int) -> str | None:
    """A text file of at most `most` bytes; None when it is not there. Raises what the library raises."""
    found = entry(api, repo, type, revision, path)
    if found is None or not hasattr(found, "size"):
        return None
    return beginning(api, repo, type, revision, path, min(found.size, most)).decode("utf-8", "replace")
