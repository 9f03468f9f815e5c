"""The read operations of hub_repos: account, info, list, read, refs, commits, runtime, logs."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import render_untrusted, untrusted_result
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_files import PREFIXES, find_entry, read_head
from ml_intern.net.service import NotFound
from ml_intern.text.formatting import capped, count, day, plural, size
from ml_intern.tools.hub.repo_args import HubReposArgs, require_args
from ml_intern.tools.local.listing import LINE_CHARACTERS, detect_binary

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_READ = 2_000_000
"""Maximum bytes of a file to fetch."""
MAX_SHOWN = 150_000
"""Maximum characters per result; continue with offset."""
_CARD_LINES = 60
_HINTS = {"a parquet file": "use the tool datasets for its rows", "GGUF weights": "use operation info for its size"}


def page_url(args: HubReposArgs) -> str:
    """Return the address of the repository."""
    return f"{hub_url()}/{PREFIXES[args.type]}{args.repo}"


async def account(_: HubReposArgs) -> str:
    """Show the token's owner and permissions."""
    account = await call_hub(lambda api: api.whoami(), "the account")
    organisations = ", ".join(str(one["name"]) for one in account.get("orgs", [])) or "none"
    token = (account.get("auth") or {}).get("accessToken") or {}
    pays = {"True": "can pay for jobs", "False": "cannot pay for jobs"}.get(str(account.get("canPay")), "")
    facts = [
        f"signed in as {account['name']}",
        f"organisations: {organisations}",
        f"token: {token.get('role', 'unknown')}",
    ]
    return "; ".join(filter(None, [*facts, "PRO" if account.get("isPro") else "", pays]))


async def info(args: HubReposArgs) -> ToolResult:
    """Show the Hub's details of the repository, with the metadata of its card."""
    found = await call_hub(lambda api: api.repo_info(args.repo, repo_type=args.type, revision=args.at), args.about)
    return untrusted_result(_about(found, args), page_url(args))


def _about(found: Any, args: HubReposArgs) -> str:
    weights = getattr(found, "safetensors", None)
    lines = [
        f"{args.about} · {'private' if found.private else 'public'}"
        + (f" · gated ({found.gated})" if found.gated else ""),
        f"commit {found.sha or 'none: it is empty'}",
        f"updated {day(found.last_modified)} · created {day(found.created_at)}",
        f"{plural(getattr(found, 'downloads', 0) or 0, 'download')} in 30 days · {plural(found.likes or 0, 'like')}",
        f"{count(weights.total)} parameters ({', '.join(weights.parameters)})" if weights else "",
        plural(len(found.siblings or []), "file"),
        f"tags: {', '.join(found.tags or []) or 'none'}",
    ]
    card = found.card_data.to_yaml().splitlines() if found.card_data else []
    return "\n".join(
        [*filter(None, lines), *(["card:", *capped(card, _CARD_LINES, "line")] if card else ["no card metadata"])]
    )


async def list_files(args: HubReposArgs) -> ToolResult:
    """List the files and folders below a path, with sizes."""

    def entries(api: "HfApi") -> list[Any]:
        tree = api.list_repo_tree(
            args.repo, args.path.strip("/") or None, recursive=args.recursive, revision=args.at, repo_type=args.type
        )
        return list(islice(tree, args.limit + 1))

    try:
        found = await call_hub(entries, args.about)
    except NotFound:
        if await is_empty(args):
            return ToolResult(f"{args.about} is empty: it has no files yet")
        raise
    more = [f"[only the first {args.limit}; set path to a folder, or raise limit]"] if len(found) > args.limit else []

    def shown() -> str:
        return "\n".join([*map(_entry, found[: args.limit]), *more]) or "(no files)"

    return await render_untrusted(shown, f"{page_url(args)}/tree/{args.revision or 'main'}")


async def is_empty(args: HubReposArgs) -> bool:
    """Return whether the repository exists without any commit, and so has no tree."""
    if args.revision or args.path.strip("/"):
        return False
    refs = await call_hub(lambda api: api.list_repo_refs(args.repo, repo_type=args.type), args.about)
    return not refs.branches


def _entry(found: Any) -> str:
    return f"{found.path}  {size(found.size)}" if hasattr(found, "size") else f"{found.path}/"


async def read(args: HubReposArgs) -> ToolResult:
    """Show a text file or some of its lines. Only the beginning of a large file is fetched."""
    require_args(args, "path")
    path = args.path.strip("/")
    found = await call_hub(lambda api: find_entry(api, args.repo, args.type, args.at, path), args.about)
    if found is None:
        raise NotFound(f"{args.about} has no file {path}; see its files with operation list")
    if not hasattr(found, "size"):
        return await list_files(args)
    max_bytes = min(found.size, MAX_READ)
    content = await call_hub(lambda api: read_head(api, args.repo, args.type, args.at, path, max_bytes), args.about)
    source = f"{page_url(args)}/blob/{args.revision or 'main'}/{path}"
    if kind := detect_binary(content[:8_192]):
        hint = _HINTS.get(kind, "use operation download to get it")
        raise ToolError(f"{path} is binary, {size(found.size)}: {kind}; {hint}")
    return await render_untrusted(lambda: _lines(content, args, found.size), source)


def _lines(content: bytes, args: HubReposArgs, whole: int) -> str:
    lines = content.decode("utf-8", "replace").splitlines()
    shown = list(_cut(lines[args.offset - 1 : args.offset - 1 + args.limit]))
    if not shown:
        raise ToolError(f"{args.path} has {plural(len(lines), 'line')}; offset {args.offset} is past the end")
    last = args.offset - 1 + len(shown)
    notes = [f"lines {args.offset:,} to {last:,} of {len(lines):,}"] if len(shown) < len(lines) else []
    if whole > len(content):
        notes.append(
            f"only the first {size(len(content))} of {size(whole)} were read; use operation download for the rest"
        )
    return "\n".join([*shown, *(f"[{note}]" for note in notes)])


def _cut(lines: list[str]) -> Iterator[str]:
    """Yield the lines, each cut to its limit, up to MAX_SHOWN characters in total."""
    length = 0
    for line in lines:
        short = line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}… ({len(line):,} characters)"
        length += len(short)
        if length > MAX_SHOWN:
            return
        yield short


async def refs(args: HubReposArgs) -> ToolResult:
    """List branches, tags and pull requests."""
    found = await call_hub(
        lambda api: api.list_repo_refs(args.repo, repo_type=args.type, include_pull_requests=True), args.about
    )
    kinds = {"branch": found.branches, "tag": found.tags, "pull request": found.pull_requests or []}
    lines = [f"{kind} {one.name} at {one.target_commit[:12]}" for kind, every in kinds.items() for one in every]
    return untrusted_result("\n".join(lines[: args.limit]) or "(none: it is empty)", f"{page_url(args)}/refs")


async def commits(args: HubReposArgs) -> ToolResult:
    """List the latest commits of a revision."""
    found = await call_hub(
        lambda api: api.list_repo_commits(args.repo, repo_type=args.type, revision=args.at), args.about
    )
    lines = [f"{one.commit_id[:12]} {day(one.created_at)} {', '.join(one.authors)}: {one.title}" for one in found]
    more = [f"[{len(lines) - args.limit} older]"] if len(lines) > args.limit else []
    return untrusted_result(
        "\n".join([*lines[: args.limit], *more]), f"{page_url(args)}/commits/{args.revision or 'main'}"
    )


async def runtime(args: HubReposArgs) -> str:
    """Show the state and hardware of a space."""
    found = await call_hub(lambda api: api.get_space_runtime(args.repo), f"space {args.repo}")
    asleep = f"; sleeps after {found.sleep_time} s" if found.sleep_time else ""
    return f"space {args.repo}: {found.stage}, hardware {found.hardware or 'none'}{asleep}"


async def logs(args: HubReposArgs) -> ToolResult:
    """Show the last log lines of a space, or of its build while it is being built."""

    def lines(api: "HfApi") -> list[str]:
        building = "BUILD" in str(api.get_space_runtime(args.repo).stage).upper()
        return list(deque(api.fetch_space_logs(args.repo, build=building), maxlen=args.limit))

    found = await call_hub(lines, f"space {args.repo}")
    return untrusted_result(
        "\n".join(line.rstrip("\n") for line in found) or "(no log yet)", f"{hub_url()}/spaces/{args.repo}"
    )
