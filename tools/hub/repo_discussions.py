"""The operations of hub_repos about discussions and pull requests."""

from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from ml_intern.execution.call import ToolResult
from ml_intern.execution.provenance import untrusted_result
from ml_intern.net.hub import call_hub
from ml_intern.text.formatting import day
from ml_intern.tools.hub.repo_args import HubReposArgs, require_args
from ml_intern.tools.hub.repo_reading import page_url

if TYPE_CHECKING:
    from huggingface_hub import HfApi


async def discussions(args: HubReposArgs) -> ToolResult:
    """List the latest discussions and pull requests."""

    def list_first(api: "HfApi") -> list[Any]:
        return list(islice(api.get_repo_discussions(args.repo, repo_type=args.type), args.limit))

    found = await call_hub(list_first, args.about)
    lines = [
        f"{one.num} {'pull request' if one.is_pull_request else 'discussion'}, {one.status}: {one.title} "
        f"({one.author}, {day(one.created_at)})"
        for one in found
    ]
    return untrusted_result("\n".join(lines) or "(none)", f"{page_url(args)}/discussions")


async def discussion(args: HubReposArgs) -> ToolResult:
    """Show a discussion with its comments, or a pull request with its diff."""
    require_args(args, "number")
    found = await call_hub(
        lambda api: api.get_discussion_details(args.repo, args.number, repo_type=args.type), args.about
    )
    kind = "pull request" if found.is_pull_request else "discussion"
    head = f"{kind} {found.num}, {found.status}: {found.title} ({found.author}, {day(found.created_at)})"
    conflicts = [f"conflicts: {found.conflicting_files}"] if found.conflicting_files else []
    diff = ["diff:", found.diff] if found.diff else []
    events = [_event(event) for event in found.events]
    return untrusted_result("\n".join([head, *conflicts, *filter(None, events), *diff]), found.url)


def _event(event: Any) -> str:
    who = f"{event.author} {day(event.created_at)}"
    match event.type:
        case "comment":
            return f"--- {who}:\n{event.content}"
        case "status-change":
            return f"--- {who}: {event.new_status}"
        case "commit":
            return f"--- {who}: commit {event.oid[:12]} {event.summary}"
        case "title-change":
            return f"--- {who}: renamed to {event.new_title!r}"
    return ""


async def open_discussion(args: HubReposArgs) -> str:
    """Open a discussion."""
    return await _open(args, pull_request=False)


async def open_pull_request(args: HubReposArgs) -> str:
    """Open a pull request without commits; upload to its revision."""
    return await _open(args, pull_request=True)


async def _open(args: HubReposArgs, *, pull_request: bool) -> str:
    require_args(args, "title")
    opened = await call_hub(
        lambda api: api.create_discussion(
            args.repo, args.title, description=args.text or None, repo_type=args.type, pull_request=pull_request
        ),
        args.about,
    )
    hint = f"; upload with revision refs/pr/{opened.num}" if pull_request else ""
    kind = "pull request" if pull_request else "discussion"
    return f"opened {kind} {opened.num} of {args.about}: {opened.url}{hint}"


async def comment(args: HubReposArgs) -> str:
    """Comment on a discussion or pull request."""
    require_args(args, "number", "text")
    await call_hub(
        lambda api: api.comment_discussion(args.repo, args.number, args.text, repo_type=args.type), args.about
    )
    return f"commented on {args.number} of {args.about}"


async def rename(args: HubReposArgs) -> str:
    """Change the title of a discussion or pull request."""
    require_args(args, "number", "title")
    await call_hub(
        lambda api: api.rename_discussion(args.repo, args.number, args.title, repo_type=args.type), args.about
    )
    return f"{args.number} of {args.about} is now titled {args.title!r}"


async def close(args: HubReposArgs) -> str:
    """Close a discussion or pull request."""
    return await _set_status(args, "closed")


async def reopen(args: HubReposArgs) -> str:
    """Reopen a discussion or pull request."""
    return await _set_status(args, "open")


async def _set_status(args: HubReposArgs, status: Literal["open", "closed"]) -> str:
    require_args(args, "number")
    await call_hub(
        lambda api: api.change_discussion_status(
            args.repo, args.number, status, comment=args.text or None, repo_type=args.type
        ),
        args.about,
    )
    return f"{args.number} of {args.about} is {status}"


async def merge(args: HubReposArgs) -> str:
    """Merge a pull request into main."""
    require_args(args, "number")
    await call_hub(
        lambda api: api.merge_pull_request(args.repo, args.number, comment=args.text or None, repo_type=args.type),
        args.about,
    )
    after = await call_hub(
        lambda api: api.get_discussion_details(args.repo, args.number, repo_type=args.type), args.about
    )
    return f"pull request {args.number} of {args.about} is {after.status}"
