"""The write operations of hub_repos: create, settings, move, duplicate, delete, branches, tags, card, files."""

from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_files import read_text
from ml_intern.tools.hub.card import CARD, tagged, update_card
from ml_intern.tools.hub.repo_args import HubReposArgs, require_args
from ml_intern.tools.hub.repo_reading import MAX_READ, page_url

if TYPE_CHECKING:
    from huggingface_hub import HfApi


async def create(args: HubReposArgs) -> str:
    """Create a repository, private unless private is false."""
    private = args.private is not False
    if args.type == "space" and args.sdk is None:
        raise ToolError("a space requires sdk: gradio, docker or static")
    sdk: dict[str, Any] = {"space_sdk": args.sdk} if args.type == "space" else {}
    await call_hub(lambda api: api.create_repo(args.repo, private=private, repo_type=args.type, **sdk), args.about)
    return f"created {args.about}, {'private' if private else 'public'}: {page_url(args)}"


async def settings(args: HubReposArgs) -> str:
    """Set the visibility and gating of the repository."""
    if args.private is None and args.gated is None:
        raise ToolError("the operation settings requires private or gated")
    gate: Any = {"no": False, None: None}.get(args.gated, args.gated)
    await call_hub(
        lambda api: api.update_repo_settings(args.repo, private=args.private, gated=gate, repo_type=args.type),
        args.about,
    )
    now = await call_hub(lambda api: api.repo_info(args.repo, repo_type=args.type), args.about)
    return f"{args.about} is now {'private' if now.private else 'public'}, gated: {now.gated or 'no'}"


async def move(args: HubReposArgs) -> str:
    """Rename the repository or move it to another owner; the old address redirects to the new one."""
    require_args(args, "to")
    await call_hub(lambda api: api.move_repo(args.repo, args.to, repo_type=args.type), args.about)
    return f"{args.about} is now {args.to}"


async def duplicate(args: HubReposArgs) -> str:
    """Copy the repository under another name, private unless private is false."""
    require_args(args, "to")
    private = args.private is not False
    await call_hub(lambda api: api.duplicate_repo(args.repo, args.to, repo_type=args.type, private=private), args.about)
    return f"copied {args.about} to {args.to}, {'private' if private else 'public'}"


async def delete_repo(args: HubReposArgs) -> str:
    """Delete the repository with all its history, permanently."""
    await call_hub(lambda api: api.delete_repo(args.repo, repo_type=args.type), args.about)
    return f"deleted {args.about}; this cannot be undone"


async def create_branch(args: HubReposArgs) -> str:
    """Create a branch from a revision."""
    require_args(args, "name")
    await call_hub(
        lambda api: api.create_branch(args.repo, branch=args.name, revision=args.at, repo_type=args.type), args.about
    )
    return f"created the branch {args.name} of {args.about} from {args.revision or 'main'}"


async def delete_branch(args: HubReposArgs) -> str:
    """Delete a branch and the commits that are on no other ref."""
    require_args(args, "name")
    await call_hub(lambda api: api.delete_branch(args.repo, branch=args.name, repo_type=args.type), args.about)
    return f"deleted the branch {args.name} of {args.about}"


async def create_tag(args: HubReposArgs) -> str:
    """Tag a revision."""
    require_args(args, "name")
    await call_hub(
        lambda api: api.create_tag(
            args.repo, tag=args.name, tag_message=args.message or None, revision=args.at, repo_type=args.type
        ),
        args.about,
    )
    return f"tagged {args.revision or 'main'} of {args.about} as {args.name}"


async def delete_tag(args: HubReposArgs) -> str:
    """Delete a tag; its commit remains."""
    require_args(args, "name")
    await call_hub(lambda api: api.delete_tag(args.repo, tag=args.name, repo_type=args.type), args.about)
    return f"deleted the tag {args.name} of {args.about}"


async def card(args: HubReposArgs) -> str:
    """Set metadata fields of the card, keeping its text."""
    require_args(args, "metadata")

    def change(api: "HfApi") -> str:
        before = read_text(api, args.repo, args.type, args.at, CARD, MAX_READ)
        content = update_card(before, args.repo, args.metadata)
        if args.type == "model":
            content = tagged(content, args.repo) or content
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
    """Delete files by path or pattern in one commit; they remain in the history."""
    require_args(args, "patterns")

    def delete(api: "HfApi") -> tuple[list[str], str]:
        from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

        existing = api.list_repo_files(args.repo, revision=args.at, repo_type=args.type)
        found = sorted(filter_repo_objects(existing, allow_patterns=args.patterns))
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
        raise ToolError(
            f"nothing in {args.about} matches {', '.join(args.patterns)}; see its files with operation list"
        )
    return f"deleted from {args.about} ({where}): {', '.join(found[:50])}" + (" ..." if len(found) > 50 else "")
