"""The github tool: finds and reads current code and example scripts of public repositories."""

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import render_untrusted, untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.text.formatting import plural
from ml_intern.tools.github.client import call_github, has_token
from ml_intern.tools.github.files import FileAddress, find_examples, parse_repository, read_address

if TYPE_CHECKING:
    from github import Github

_SITE = "https://github.com"
_FRAGMENT = 400


class GithubArgs(ToolArgs):
    """The arguments of github."""

    operation: Literal["search_code", "examples", "read", "repositories"] = Field(
        description="search_code: query, optionally repository; examples: repository, optionally query; read: "
        "repository and path; repositories: query, owner, or both."
    )
    repository: str = Field("", max_length=300, description="owner/name, or an address, for example of a file.")
    path: str = Field("", max_length=500, description="read: the file or folder in the repository.")
    ref: str = Field("", max_length=200, description="A branch, tag or commit; empty for the default branch.")
    first_line: int | None = Field(None, ge=1, description="read: the first line to show.")
    last_line: int | None = Field(None, ge=1, description="read: the last line to show.")
    query: str = Field("", max_length=250, description="The search terms.")
    owner: str = Field("", max_length=100, pattern=r"^[\w.-]*$", description="repositories: a user or organisation.")
    sort: Literal["stars", "updated"] = Field("stars", description="repositories: the sort order.")
    limit: int = Field(10, ge=1, le=50, description="The maximum number of entries.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.operation in ("examples", "read") and not self.repository.strip():
            raise ValueError(f"{self.operation} needs a repository")
        if self.operation == "search_code" and not self.query.strip():
            raise ValueError("search_code needs a query")
        if self.operation == "repositories" and not (self.query.strip() or self.owner):
            raise ValueError("repositories needs a query or an owner")
        return self


@tool(read_only=True)
async def github(args: GithubArgs, context: ToolContext) -> ToolResult:  # noqa: ARG001 it needs no context
    """Find and read code on GitHub: search code, find example scripts of a library, read files, list repositories.

    Before you write a training script, find a current one: examples ranks the scripts of a repository such as
    huggingface/trl for a query such as "grpo vllm"; read shows a file with line numbers, a line range, a folder, or a
    notebook as markdown. search_code requires GITHUB_TOKEN; the others work without it, at 60 requests per hour.
    """
    address = _parse_address(args) if args.repository.strip() else FileAddress("")
    match args.operation:
        case "read":
            text = await call_github(
                lambda client: read_address(client, address), f"{address.repository}/{address.path}"
            )
            return await render_untrusted(lambda: text, _url(address))
        case "examples":
            return await _examples(args, address)
        case "search_code":
            return await _search(args, address)
        case _:
            return await _repositories(args)


def _parse_address(args: GithubArgs) -> FileAddress:
    """Return the location that the address names, overridden by the other arguments."""
    parsed = parse_repository(args.repository)
    return replace(
        parsed,
        path=args.path.strip("/") or parsed.path,
        ref=args.ref or parsed.ref,
        first=args.first_line or parsed.first,
        last=args.last_line or parsed.last,
    )


def _url(address: FileAddress) -> str:
    return f"{_SITE}/{address.repository}" + (f"/blob/{address.ref or 'HEAD'}/{address.path}" if address.path else "")


async def _examples(args: GithubArgs, address: FileAddress) -> ToolResult:
    found = await call_github(lambda client: find_examples(client, address, args.query, args.limit), address.repository)
    if not found:
        return ToolResult(
            f"{address.repository} has no example scripts for {args.query!r}; use other words, or read its folders"
        )
    return untrusted_result("\n".join(found), _url(replace(address, path="")))


async def _search(args: GithubArgs, address: FileAddress) -> ToolResult:
    if not has_token():
        raise ToolError(
            "GitHub's code search requires GITHUB_TOKEN, which is not set; use examples and read on a repository, or "
            "web_search with site:github.com"
        )
    query = f"{args.query} repo:{address.repository}" if address.repository else args.query

    def search(client: "Github") -> list[str]:
        return [_hit(one) for one in islice(client.search_code(query, highlight=True), args.limit)]

    found = await call_github(search, "this search")
    if not found:
        return ToolResult(f"no code found for {args.query!r}; use fewer or different words")
    return untrusted_result("\n\n".join(found), f"{_SITE}/search")


def _hit(one: Any) -> str:
    matches = one.text_matches if isinstance(one.text_matches, list) else []
    shown = [
        f"   | {line}" for match in matches[:2] for line in str(match.get("fragment", ""))[:_FRAGMENT].splitlines()
    ]
    return "\n".join([f"{one.repository.full_name}: {one.path}\n   {one.html_url}", *shown])


async def _repositories(args: GithubArgs) -> ToolResult:
    query = " ".join(filter(None, [args.query.strip(), f"user:{args.owner}" if args.owner else ""]))

    def search(client: "Github") -> list[str]:
        found = client.search_repositories(query, sort=args.sort, order="desc")
        return [_repository(one) for one in islice(found, args.limit)]

    found = await call_github(search, f"owner {args.owner}" if args.owner else "this search")
    if not found:
        return ToolResult(f"no repositories found for {query!r}; use fewer or different words")
    return untrusted_result("\n".join(found), f"{_SITE}/search")


def _repository(one: Any) -> str:
    about = " ".join((one.description or "").split())[:200]
    archived = ", archived" if one.archived else ""
    pushed = f", pushed {one.pushed_at:%Y-%m-%d}" if one.pushed_at else ""
    known = f"{plural(one.stargazers_count, 'star')}, {one.language or 'no language'}{pushed}{archived}"
    return f"{one.full_name} ({known}): {about}"
