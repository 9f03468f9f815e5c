"""The upload operation of hub_repos: checks the card, uploads the files and verifies the result."""

import asyncio
import glob
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ml_intern.evidence.checks.cards import uploaded_card_claims
from ml_intern.evidence.observations import observe
from ml_intern.evidence.statement.card_section import evidence_section, without_section
from ml_intern.evidence.verdict import Claim
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.net.service import NotFound
from ml_intern.text.formatting import plural, size
from ml_intern.tools.hub.card import CARD, TAG, card_body, check_card, tagged
from ml_intern.tools.hub.local_files import IGNORED, Selection, select_files
from ml_intern.tools.hub.repo_args import HubReposArgs, require_args
from ml_intern.tools.hub.repo_reading import page_url
from ml_intern.tools.hub.transfer import announce, run_transfer

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_CHECKED = 1_000
MAX_NAMED = 10
_WITH_NUMBERS = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".log")


async def upload(args: HubReposArgs, context: ToolContext) -> str:
    """Upload a file or folder, verify it, and report what is missing in the card."""
    require_args(args, "local")
    if args.create_pr and args.revision:
        raise ToolError("create_pr creates a pull request against main; leave out revision")
    chosen = await asyncio.to_thread(select_files, args.local, context, args.path, args.patterns)
    suggestions = await asyncio.to_thread(_card_suggestions, chosen, args)
    suggestions = (*suggestions, *await _unverified_numbers(args, chosen, context))
    made = await _ensure_repository(args)
    what = f"{plural(len(chosen.files), 'file')}, {size(chosen.size)}"
    announce(context, f"uploading {what} to {args.about}")
    done = await run_transfer("upload", _arguments(args, chosen), args.about, context)
    where = f"pull request {done['number']}" if done["number"] else f"commit {done['oid'][:12]}"
    revision = f"refs/pr/{done['number']}" if done["number"] else args.revision
    checked = await _verify(args, chosen, revision)
    added = await _complete_card(args, chosen, revision, context)
    lines = [f"uploaded {what} to {args.about}, {made}, {where}: {page_url(args)}", checked, *added, *_left_out(chosen)]
    if not any(one.path_in_repo == CARD for one in chosen.files) and not await _has_card(args):
        suggestions = ("the repository has no README.md; write and upload one",)
    return "\n".join([*lines, *(f"card: {suggestion}" for suggestion in suggestions)])


async def _complete_card(args: HubReposArgs, chosen: Selection, revision: str, context: ToolContext) -> tuple[str, ...]:
    """Add the tag and the section of evidence to an uploaded model card on the Hub. Return one line about each."""
    card = next((one for one in chosen.files if one.path_in_repo == CARD), None)
    if card is None or args.type != "model":
        return ()
    text = await asyncio.to_thread(card.path.read_text, "utf-8", "replace")
    tag = await asyncio.to_thread(tagged, text, args.repo)
    section = await _evidence(text, chosen, context)
    added = [*([f"the tag {TAG}"] if tag else []), *(["the section Evidence"] if section else [])]
    content = _with_section(tag or text, section, context)
    if content == text:
        return ()
    try:
        await call_hub(
            lambda api: api.upload_file(
                path_or_fileobj=content.encode(),
                path_in_repo=CARD,
                repo_id=args.repo,
                repo_type=args.type,
                revision=revision or None,
                commit_message=f"Add {' and '.join(added)} to the card"
                if added
                else "Remove old evidence from the card",
            ),
            args.about,
        )
    except ToolError as error:
        return (f"{' and '.join(added) or 'the change'} could not be added to the card: {error}",)
    return tuple(f"{one} was added to the card on the Hub" for one in added)


def _with_section(card: str, section: str, context: ToolContext) -> str:
    """Return a card with the section instead of the one that it has, which may come from an earlier upload."""
    if context.options.verify == "off":
        return card
    bare = without_section(card)
    return f"{bare.rstrip()}\n\n{section}" if section else bare


async def _evidence(card: str, chosen: Selection, context: ToolContext) -> str:
    """Return the section of evidence for a card, or "" if nothing is recorded."""
    if context.options.verify == "off":
        return ""
    files = [(one.path_in_repo, one.path) for one in chosen.files]
    return await asyncio.to_thread(evidence_section, card_body(card), files, await observe(context))


def _card_suggestions(chosen: Selection, args: HubReposArgs) -> tuple[str, ...]:
    """Return suggestions for the card. Raises ToolError for a card the Hub would reject."""
    card = next((one for one in chosen.files if one.path_in_repo == CARD), None)
    if card is None:
        return ()
    found = check_card(card.path.read_text("utf-8", "replace"), args.type)
    if found.errors:
        raise ToolError(
            f"nothing was uploaded, because the card {card.path.name} is invalid: {'; '.join(found.errors)}"
        )
    return found.suggestions


async def _unverified_numbers(args: HubReposArgs, chosen: Selection, context: ToolContext) -> tuple[str, ...]:
    """Return the numbers of the card that neither the thread nor the uploaded files support."""
    card = next((one for one in chosen.files if one.path_in_repo == CARD), None)
    if card is None:
        return ()
    text = await asyncio.to_thread(card.path.read_text, "utf-8", "replace")
    if args.type == "model":
        text = _with_section(text, "", context)
    others = [one.path for one in chosen.files if one.path.suffix in _WITH_NUMBERS]
    claims = await uploaded_card_claims(text, await observe(context), others)
    if context.options.verify != "off":
        _refuse_contradicted(claims)
    if not claims:
        return ()
    numbers = ", ".join(dict.fromkeys(one.text for one in claims))
    return (f"unverified numbers (no program printed them, and no uploaded file has them): {numbers}",)


def _refuse_contradicted(claims: Sequence[Claim]) -> None:
    """Raise ToolError for a card whose numbers contradict what ran in the thread."""
    facts = "; ".join(f"{one.text}: {one.evidence}" for one in claims if one.state == "contradicted")
    if facts:
        raise ToolError(
            f"nothing was uploaded, because the card does not agree with what ran: {facts}; correct the card"
        )


async def _ensure_repository(args: HubReposArgs) -> str:
    """Return the visibility of the repository; create it as private if it is missing."""
    try:
        found = await call_hub(lambda api: api.repo_info(args.repo, repo_type=args.type), args.about)
    except NotFound:
        if args.type == "space":
            raise ToolError(f"there is no {args.about}; create it first, with sdk") from None
        await call_hub(lambda api: api.create_repo(args.repo, repo_type=args.type, private=True), args.about)
        return "private, new"
    return "private" if found.private else "public"


def _arguments(args: HubReposArgs, chosen: Selection) -> dict[str, Any]:
    """Return the library's arguments. For a folder they select exactly the chosen files."""
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


async def _verify(args: HubReposArgs, chosen: Selection, revision: str) -> str:
    """Compare the files on the Hub with those sent. Raises ToolError when they differ."""
    expected = {one.path_in_repo: one.size for one in chosen.files[:MAX_CHECKED]}

    def sizes(api: "HfApi") -> dict[str, int]:
        found = api.get_paths_info(args.repo, list(expected), revision=revision or None, repo_type=args.type)
        return {one.path: one.size for one in found if hasattr(one, "size")}

    actual = await call_hub(sizes, args.about)
    wrong = [path for path, length in expected.items() if actual.get(path) != length]
    if wrong:
        raise ToolError(
            f"the upload to {args.about} finished, but {len(wrong)} of {plural(len(expected), 'file')} are missing "
            f"or differ in size: {', '.join(wrong[:MAX_NAMED])}; upload them again"
        )
    part = f"the first {plural(len(expected), 'file')}" if len(chosen.files) > len(expected) else "all files"
    return f"verified: {part} present with the right size"


def _left_out(chosen: Selection) -> list[str]:
    if not chosen.left_out:
        return []
    return [f"left out, because they usually contain secrets: {', '.join(chosen.left_out[:MAX_NAMED])}"]


async def _has_card(args: HubReposArgs) -> bool:
    return bool(await call_hub(lambda api: api.file_exists(args.repo, CARD, repo_type=args.type), args.about))
