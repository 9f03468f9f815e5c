"""The download operation of hub_repos: downloads files into a folder without overwriting other files."""

import asyncio
import glob
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.safety.files.protected import Place, find_control
from ml_intern.text.formatting import plural, size
from ml_intern.tools.hub.repo_args import HubReposArgs, require_args
from ml_intern.tools.hub.repo_reading import page_url
from ml_intern.tools.hub.transfer import announce, run_transfer

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_FILES = 100_000
MAX_NAMED = 10
_SPARE_BYTES = 1_000_000_000
_UNINTERESTING = ".gitattributes"
_DOWNLOAD_RECORD = ".cache/huggingface/download/{}.metadata"
"""Where the library records its downloads, relative to the folder."""


@dataclass(frozen=True)
class Wanted:
    """The files to download, with sizes, and the files left out because they would control other programs."""

    folder: Path
    sizes: Mapping[str, int]
    left_out: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Number and total size of the files."""
        return f"{plural(len(self.sizes), 'file')}, {size(sum(self.sizes.values()))}"


async def download(args: HubReposArgs, context: ToolContext) -> ToolResult:
    """Download a file, the matching files, or all files into a folder of the workspace."""
    require_args(args, "local")
    patterns = [args.path.strip("/"), f"{args.path.strip('/')}/*"] if args.path.strip("/") else list(args.patterns)
    sizes = await call_hub(lambda api: _remote_sizes(api, args, patterns), args.about)
    if not sizes:
        raise ToolError(f"nothing in {args.about} matches {', '.join(patterns)}; see its files with operation list")
    wanted = await asyncio.to_thread(_verify, sizes, args, context)
    announce(context, f"downloading {wanted.summary} of {args.about}")
    request: Mapping[str, Any] = {
        "repo_id": args.repo,
        "repo_type": args.type,
        "revision": args.at,
        "local_dir": str(wanted.folder),
        "allow_patterns": patterns or None,
        "ignore_patterns": [glob.escape(path) for path in wanted.left_out] or None,
    }
    await run_transfer("download", request, args.about, context)
    shown = await asyncio.to_thread(context.name_of, wanted.folder)
    reported = [path for path in wanted.left_out if path != _UNINTERESTING]
    left = f"; left out, because they control other programs: {_first(reported)}" if reported else ""
    text = f"downloaded {wanted.summary} of {args.about} into {shown}: {_first(list(wanted.sizes))}{left}"
    return ToolResult(text, file_sources=(page_url(args),))


def _remote_sizes(api: "HfApi", args: HubReposArgs, patterns: list[str]) -> dict[str, int]:
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    tree = api.list_repo_tree(args.repo, recursive=True, revision=args.at, repo_type=args.type)
    files = {one.path: one.size for one in islice(tree, MAX_FILES) if hasattr(one, "size")}
    return {path: files[path] for path in filter_repo_objects(files, allow_patterns=patterns or None)}


def _verify(sizes: Mapping[str, int], args: HubReposArgs, context: ToolContext) -> Wanted:
    """Choose the files to download. Raises ToolError when none is allowed, one exists, or the disk is too small."""
    folder = context.resolve(args.local)
    if folder.is_file():
        raise ToolError(f"{context.name_of(folder)} is a file; set local to a folder")
    root = str(context.workspace.resolve())
    protected = tuple(path for path in sizes if find_control(str(folder / path), Place(root)))
    allowed = {path: length for path, length in sizes.items() if path not in protected}
    if not allowed:
        raise ToolError(f"{_first(protected)} would control other programs there; use operation read instead")
    existing = [
        path for path in allowed if (folder / path).exists() and not (folder / _DOWNLOAD_RECORD.format(path)).exists()
    ]
    if existing:
        raise ToolError(f"{_first(existing)} already exists there and is not from this download; choose another folder")
    wanted, free = Wanted(folder, allowed, protected), _free_bytes(folder)
    if sum(allowed.values()) + _SPARE_BYTES > free:
        raise ToolError(
            f"{args.about} needs {wanted.summary}, but only {size(free)} are free; set patterns to download less"
        )
    return wanted


def _first(paths: Sequence[str]) -> str:
    return ", ".join(paths[:MAX_NAMED]) + (" ..." if len(paths) > MAX_NAMED else "")


def _free_bytes(folder: Path) -> int:
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    return shutil.disk_usage(existing).free
