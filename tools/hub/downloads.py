"""The download operation of hub_repos: files of a repository into a folder, harming nothing that is there."""

import asyncio
import glob
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.safety.shell.paths import is_protected_in_workspace
from ml_intern.text.formatting import plural, size
from ml_intern.tools.hub.repo_args import HubReposArgs, given
from ml_intern.tools.hub.transfer import announce, transferred

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_FILES = 100_000
MAX_NAMED = 10
_SPARE_BYTES = 1_000_000_000
_DULL = ".gitattributes"
_KNOWN = ".cache/huggingface/download/{}.metadata"
"""Where the library notes, below the folder, that a file is its own."""


@dataclass(frozen=True)
class Wanted:
    """What goes into the folder, with its sizes, and what stays out because other programs would obey it."""

    folder: Path
    sizes: Mapping[str, int]
    left_out: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """How many files of what size."""
        return f"{plural(len(self.sizes), 'file')}, {size(sum(self.sizes.values()))}"


async def download(args: HubReposArgs, context: ToolContext) -> str:
    """Download a file, the files that match, or all, into a folder of the workspace."""
    given(args, "local")
    patterns = [args.path.strip("/"), f"{args.path.strip('/')}/*"] if args.path.strip("/") else list(args.patterns)
    sizes = await call_hub(lambda api: _remote_sizes(api, args, patterns), args.about)
    if not sizes:
        raise ToolError(f"nothing in {args.about} matches {', '.join(patterns)}; operation list shows its files")
    wanted = await asyncio.to_thread(_checked, sizes, args, context)
    announce(context, f"downloading {wanted.words} of {args.about}")
    asked: Mapping[str, Any] = {
        "repo_id": args.repo,
        "repo_type": args.type,
        "revision": args.at,
        "local_dir": str(wanted.folder),
        "allow_patterns": patterns or None,
        "ignore_patterns": [glob.escape(path) for path in wanted.left_out] or None,
    }
    await transferred("download", asked, args.about, context)
    shown = await asyncio.to_thread(context.name_of, wanted.folder)
    told = [path for path in wanted.left_out if path != _DULL]
    left = f"; left out, since other programs obey them: {_first(told)}" if told else ""
    return f"downloaded {wanted.words} of {args.about} into {shown}: {_first(list(wanted.sizes))}{left}"


def _remote_sizes(api: "HfApi", args: HubReposArgs, patterns: list[str]) -> dict[str, int]:
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    tree = api.list_repo_tree(args.repo, recursive=True, revision=args.at, repo_type=args.type)
    files = {one.path: one.size for one in islice(tree, MAX_FILES) if hasattr(one, "size")}
    return {path: files[path] for path in filter_repo_objects(files, allow_patterns=patterns or None)}


def _checked(sizes: Mapping[str, int], args: HubReposArgs, context: ToolContext) -> Wanted:
    """What may go into the folder. Raises ToolError: nothing may, a file is in the way, the disk is too small."""
    folder = context.resolve(args.local)
    if folder.is_file():
        raise ToolError(f"{context.name_of(folder)} is a file; name a folder to download into")
    root = str(context.workspace.resolve())
    obeyed = tuple(path for path in sizes if is_protected_in_workspace(str(folder / path), root))
    kept = {path: length for path, length in sizes.items() if path not in obeyed}
    if not kept:
        raise ToolError(f"other programs obey {_first(obeyed)} there; read it with operation read instead")
    in_the_way = [path for path in kept if (folder / path).exists() and not (folder / _KNOWN.format(path)).exists()]
    if in_the_way:
        raise ToolError(f"{_first(in_the_way)} exists there and is not of this download; name another folder")
    wanted, free = Wanted(folder, kept, obeyed), _free_bytes(folder)
    if sum(kept.values()) + _SPARE_BYTES > free:
        raise ToolError(f"{args.about} needs {wanted.words} and {size(free)} are free here; download less, by patterns")
    return wanted


def _first(paths: Sequence[str]) -> str:
    return ", ".join(paths[:MAX_NAMED]) + (" ..." if len(paths) > MAX_NAMED else "")


def _free_bytes(folder: Path) -> int:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return shutil.disk_usage(there).free
