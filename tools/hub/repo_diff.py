"""The diff operation of hub_repos: compares two revisions, or a revision with a local folder."""

import asyncio
import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import untrusted_result
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_files import read_head
from ml_intern.text.formatting import plural, size
from ml_intern.tools.hub.local_files import LocalFile, Selection, matching_digest, select_files
from ml_intern.tools.hub.repo_args import HubReposArgs
from ml_intern.tools.hub.repo_reading import page_url
from ml_intern.tools.local.listing import detect_binary

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_FILES = 20_000
MAX_SHOWN = 20
MAX_COMPARED = 200_000
"""Maximum file size in bytes for a comparison by lines."""
SECONDS = 300.0


@dataclass(frozen=True)
class FileVersion:
    """One version of a file: the digest of its content, and its size."""

    digest: str
    size: int


async def diff(args: HubReposArgs, context: ToolContext) -> ToolResult:
    """Show the changes from revision to against, or from revision to the local folder or file."""
    if bool(args.against) == bool(args.local):
        raise ToolError("diff requires either against (another revision) or local (a folder)")
    selection = None
    if args.local:
        selection = await asyncio.to_thread(select_files, args.local, context, args.path)
    text = await call_hub(lambda api: _compare(api, args, selection), args.about, seconds=SECONDS)
    return untrusted_result(text, f"{page_url(args)}/tree/{args.revision or 'main'}")


def _compare(api: "HfApi", args: HubReposArgs, selection: Selection | None) -> str:
    old = _tree(api, args, args.revision)

    def read_remote(revision: str, sides: Mapping[str, FileVersion], path: str) -> bytes | None:
        if path not in sides:
            return b""
        max_bytes = sides[path].size
        return (
            read_head(api, args.repo, args.type, revision or None, path, max_bytes)
            if max_bytes <= MAX_COMPARED
            else None
        )

    if selection is None:
        new = _tree(api, args, args.against)
        return _format_changes(
            old, new, lambda path: (read_remote(args.revision, old, path), read_remote(args.against, new, path))
        )
    local = {one.path_in_repo: one for one in selection.files}
    new = {path: FileVersion(matching_digest(one.path, _digest_of(old, path)), one.size) for path, one in local.items()}
    return _format_changes(
        {path: side for path, side in old.items() if path in new},
        new,
        lambda path: (read_remote(args.revision, old, path), _content(local[path])),
    )


def _digest_of(sides: Mapping[str, FileVersion], path: str) -> str:
    return sides[path].digest if path in sides else ""


def _content(file: LocalFile) -> bytes | None:
    return file.path.read_bytes() if file.size <= MAX_COMPARED else None


def _tree(api: "HfApi", args: HubReposArgs, revision: str) -> dict[str, FileVersion]:
    found = api.list_repo_tree(args.repo, recursive=True, revision=revision or None, repo_type=args.type)
    files: list[Any] = [one for one in islice(found, MAX_FILES + 1) if hasattr(one, "size")]
    if len(files) > MAX_FILES:
        raise ToolError(f"{args.about} has more than {MAX_FILES:,} files; compare single files with read")
    inside = args.path.strip("/")
    return {
        one.path: FileVersion(one.lfs.sha256 if one.lfs else one.blob_id, one.size)
        for one in files
        if not inside or one.path == inside or one.path.startswith(f"{inside}/")
    }


Pair = Callable[[str], tuple[bytes | None, bytes | None]]


def _format_changes(old: Mapping[str, FileVersion], new: Mapping[str, FileVersion], pair: Pair) -> str:
    """List the files that differ, followed by the line diffs of the first ones."""
    changed = [path for path in sorted({*old, *new}) if _digest_of(old, path) != _digest_of(new, path)]
    if not changed:
        return "no differences"
    lines = [_summary(path, old.get(path), new.get(path)) for path in changed]
    lines += [line for path in changed[:MAX_SHOWN] for line in _hunks(path, *pair(path))]
    more = (
        [f"[line diffs of {plural(len(changed) - MAX_SHOWN, 'more file')} not shown]"]
        if len(changed) > MAX_SHOWN
        else []
    )
    return "\n".join([*lines, *more])


def _summary(path: str, old: FileVersion | None, new: FileVersion | None) -> str:
    if old is None and new is not None:
        return f"added {path}  {size(new.size)}"
    if new is None and old is not None:
        return f"removed {path}  {size(old.size)}"
    return f"changed {path}  {size(old.size if old else 0)} to {size(new.size if new else 0)}"


def _hunks(path: str, old: bytes | None, new: bytes | None) -> Iterator[str]:
    if old is None or new is None or detect_binary(old[:8_192]) or detect_binary(new[:8_192]):
        return
    before, after = (content.decode("utf-8", "replace").splitlines() for content in (old, new))
    yield from difflib.unified_diff(before, after, f"a/{path}", f"b/{path}", lineterm="")
