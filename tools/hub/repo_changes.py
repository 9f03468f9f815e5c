"""The operations of hub_repos that change a repository as a whole: create, settings, move, branches, tags, card."""

from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_files import text
from ml_intern.tools.hub.card import CARD, merged_card
from ml_intern.tools.hub.repo_args import HubReposArgs, given
from ml_intern.tools.hub.repo_reading import MAX_READ, page_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi


async def create(args: HubReposArgs) -> str:
    """A new repository, private unless private is false."""
    private = args.private is not False
    if args.type == "space" and args.sdk is None:
        raise ToolError("a space needs its sdk: gradio, docker or static")
    sdk: dict[str, Any] = {"space_sdk": args.sdk} if args.type == "space" else {}
    await call_hub(lambda api: api.create_repo(args.repo, private=private, repo_type=args.type, **sdk), args.about)
    return f"created {args.about}, {'private' if private else 'public'}: {page_of(args)}"


async def settings(args: HubReposArgs) -> str:
    """Who can see the repository, and who must ask for access."""
    if args.private is None and args.gated is None:
        raise ToolError("the operation settings needs private or gated")
    gate: Any = {"no": False, None: None}.get(args.gated, args.gated)
    await call_hub(
        lambda api: api.update_repo_settings(args.repo, private=args.private, gated=gate, repo_type=args.type),
        args.about,
    )
    now = await call_hub(lambda api: api.repo_info(args.repo, repo_type=args.type), args.about)
    return f"{args.about} is now {'private' if now.private else 'public'}, gated: {now.gated or 'no'}"


async def move(args: HubReposArgs) -> str:
    """Another name or another owner; the old address leads to the new one."""
    given(args, "to")
    await call_hub(lambda api: api.move_repo(args.repo, args.to, repo_type=args.type), args.about)
    return f"{args.about} is now {args.to}"


async def duplicate(args: HubReposArgs) -> str:
    """A copy under another name, private unless private is false."""
    given(args, "to")
    private = args.private is not False
    await call_hub(lambda api: api.duplicate_repo(args.repo, args.to, repo_type=args.type, private=private), args.about)
    return f"copied {args.about} to {args.to}, {'private' if private else 'public'}"


async def delete_repo(args: HubReposArgs) -> str:
    """Delete the repository with all its history, for good."""
    await call_hub(lambda api: api.delete_repo(args.repo, repo_type=args.type), args.about)
    return f"deleted {args.about}; it cannot be brought back"


async def create_branch(args: HubReposArgs) -> str:
    """A branch from a revision."""
    given(args, "name")
    await call_hub(
        lambda api: api.create_branch(args.repo, branch=args.name, revision=args.at, repo_type=args.type), args.about
    )
    return f"{args.about} has the branch {args.name}, from {args.revision or 'main'}"


async def delete_branch(args: HubReposArgs) -> str:
    """Delete a branch with the commits that no other ref holds."""
    given(args, "name")
    await call_hub(lambda api: api.delete_branch(args.repo, branch=args.name, repo_type=args.type), args.about)
    return f"deleted the branch {args.name} of {args.about}"


async def create_tag(args: HubReposArgs) -> str:
    """A tag on a revision."""
    given(args, "name")
    await call_hub(
        lambda api: api.create_tag(
            args.repo, tag=args.name, tag_message=args.message or None, revision=args.at, repo_type=args.type
        ),
        args.about,
    )
    return f"{args.about} has the tag {args.name}, on {args.revision or 'main'}"


async def delete_tag(args: HubReposArgs) -> str:
    """Delete a tag; its commit stays."""
    given(args, "name")
    await call_hub(lambda api: api.delete_tag(args.repo, tag=args.name, repo_type=args.type), args.about)
    return f"deleted the tag {args.name} of {args.about}"


async def card(args: HubReposArgs) -> str:
    """Set fields of the card's metadata, keeping its text."""
    given(args, "metadata")

    def change(api: "HfApi") -> str:
        before = text(api, args.repo, args.type, args.at, CARD, MAX_READ)
        content = merged_card(before, args.repo, args.metadata)
        done = api.upload_file(
            path_or_fileobj=content.encode(),
            path_in_repo=CARD,
            repo_id=args.repo,
            repo_type=args.type,
            revision=args.at,
            commit_message=args.message or f"Set {', '.join(args.metadata)} in the card",
            create_pr=args.create_pr,
        )
        return f"pull request {done.pr_num}" if done.pr_num else f"commit {done.oid[:12]}"

    where = await call_hub(change, args.about)
    return f"set {', '.join(args.metadata)} in the card of {args.about} ({where})"


async def delete_files(args: HubReposArgs) -> str:
    """Delete files by path or pattern, in one commit; the history keeps them."""
    given(args, "patterns")

    def delete(api: "HfApi") -> tuple[list[str], str]:
        from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

        there = api.list_repo_files(args.repo, revision=args.at, repo_type=args.type)
        found = sorted(filter_repo_objects(there, allow_patterns=args.patterns))
        if not found:
            return [], ""
        done = api.delete_files(
            args.repo,
            args.patterns,
            repo_type=args.type,
            revision=args.at,
            commit_message=args.message or None,
            create_pr=args.create_pr,
        )
        return found, f"pull request {done.pr_num}" if done.pr_num else f"commit {done.oid[:12]}"

    found, where = await call_hub(delete, args.about)
    if not found:
        raise ToolError(f"nothing in {args.about} matches {', '.join(args.patterns)}; operation list shows its files")
    return f"deleted from {args.about} ({where}): {', '.join(found[:50])}" + (" ..." if len(found) > 50 else "")
