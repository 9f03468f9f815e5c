"""The upload operation of hub_repos: what goes up, the card before, a look at what is there afterwards."""

import asyncio
import glob
from typing import TYPE_CHECKING, Any

from ml_intern.evidence.reported import unverified_in
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.net.service import NotFound
from ml_intern.text.formatting import plural, size
from ml_intern.tools.hub.card import CARD, check_card
from ml_intern.tools.hub.local_files import IGNORED, Selection, selected
from ml_intern.tools.hub.repo_args import HubReposArgs, given
from ml_intern.tools.hub.repo_reading import page_of
from ml_intern.tools.hub.transfer import announce, transferred

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_CHECKED = 1_000
MAX_NAMED = 10
_WITH_NUMBERS = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".log")


async def upload(args: HubReposArgs, context: ToolContext) -> str:
    """Upload a file or a folder, look whether all is there, and say what the card lacks."""
    given(args, "local")
    if args.create_pr and args.revision:
        raise ToolError("create_pr makes a pull request against main; leave revision out")
    chosen = await asyncio.to_thread(selected, args.local, context, args.path, args.patterns)
    wishes = await asyncio.to_thread(_card_wishes, chosen, args)
    wishes = (*wishes, *await _unheld_numbers(chosen, context))
    made = await _prepared(args)
    what = f"{plural(len(chosen.files), 'file')}, {size(chosen.size)}"
    announce(context, f"uploading {what} to {args.about}")
    done = await transferred("upload", _arguments(args, chosen), args.about, context)
    where = f"pull request {done['number']}" if done["number"] else f"commit {done['oid'][:12]}"
    checked = await _checked(args, chosen, f"refs/pr/{done['number']}" if done["number"] else args.revision)
    lines = [f"uploaded {what} to {args.about}, {made}, {where}: {page_of(args)}", checked, *_left_out(chosen)]
    if not any(one.path_in_repo == CARD for one in chosen.files) and not await _has_card(args):
        wishes = ("the repository has no README.md: write one and upload it",)
    return "\n".join([*lines, *(f"card: {wish}" for wish in wishes)])


def _card_wishes(chosen: Selection, args: HubReposArgs) -> tuple[str, ...]:
    """What the card lacks. Raises ToolError for one the Hub would refuse."""
    card = next((one for one in chosen.files if one.path_in_repo == CARD), None)
    if card is None:
        return ()
    found = check_card(card.path.read_text("utf-8", "replace"), args.type)
    if found.errors:
        raise ToolError(f"the card {card.path.name} was refused, nothing was uploaded: {'; '.join(found.errors)}")
    return found.wishes


async def _unheld_numbers(chosen: Selection, context: ToolContext) -> tuple[str, ...]:
    """The numbers of the card that neither the thread nor the files beside it hold."""
    card = next((one for one in chosen.files if one.path_in_repo == CARD), None)
    if card is None:
        return ()
    text = await asyncio.to_thread(card.path.read_text, "utf-8", "replace")
    beside = [one.path for one in chosen.files if one.path.suffix in _WITH_NUMBERS]
    numbers = await unverified_in(text, context.messages, context.thread_id, context.services, beside)
    if not numbers:
        return ()
    return (f"unverified, since no result of this thread and no file beside it holds them: {', '.join(numbers)}",)


async def _prepared(args: HubReposArgs) -> str:
    """The visibility of the repository, which is made, private, when it is missing."""
    try:
        found = await call_hub(lambda api: api.repo_info(args.repo, repo_type=args.type), args.about)
    except NotFound:
        if args.type == "space":
            raise ToolError(f"there is no {args.about}; create it first, with its sdk") from None
        await call_hub(lambda api: api.create_repo(args.repo, repo_type=args.type, private=True), args.about)
        return "private, new"
    return "private" if found.private else "public"


def _arguments(args: HubReposArgs, chosen: Selection) -> dict[str, Any]:
    """What the library is called with. Of a folder exactly the chosen files are named."""
    known = {
        "repo_id": args.repo,
        "repo_type": args.type,
        "revision": args.at,
        "create_pr": args.create_pr,
        "commit_message": args.message or None,
    }
    if not chosen.is_folder:
        return {**known, "path_or_fileobj": str(chosen.local), "path_in_repo": chosen.files[0].path_in_repo}
    within = {
        "allow_patterns": list(args.patterns) or None,
        "ignore_patterns": [*IGNORED, *map(glob.escape, chosen.left_out)],
    }
    return {**known, **within, "folder_path": str(chosen.local), "path_in_repo": args.path.strip("/")}


async def _checked(args: HubReposArgs, chosen: Selection, revision: str) -> str:
    """What the Hub says it has now, against what was sent."""
    expected = {one.path_in_repo: one.size for one in chosen.files[:MAX_CHECKED]}

    def sizes(api: "HfApi") -> dict[str, int]:
        found = api.get_paths_info(args.repo, list(expected), revision=revision or None, repo_type=args.type)
        return {one.path: one.size for one in found if hasattr(one, "size")}

    there = await call_hub(sizes, args.about)
    wrong = [path for path, length in expected.items() if there.get(path) != length]
    if wrong:
        raise ToolError(
            f"the upload to {args.about} ended, but {len(wrong)} of {len(expected)} files are missing or of another "
            f"size there: {', '.join(wrong[:MAX_NAMED])}; list the repository and upload them again"
        )
    part = f"the first {len(expected):,} files" if len(chosen.files) > len(expected) else "every file"
    return f"checked: {part} is there with its size"


def _left_out(chosen: Selection) -> list[str]:
    if not chosen.left_out:
        return []
    return [f"left out, since they usually hold secrets: {', '.join(chosen.left_out[:MAX_NAMED])}"]


async def _has_card(args: HubReposArgs) -> bool:
    return bool(await call_hub(lambda api: api.file_exists(args.repo, CARD, repo_type=args.type), args.about))
