"""The github tool: code and example scripts of public repositories, read as they are now."""

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import render_untrusted, untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.tools.github.client import ask_github, has_token
from ml_intern.tools.github.files import FileAddress, examples, place_of, read_place

if TYPE_CHECKING:
    from github import Github

_SITE = "https://github.com"
_FRAGMENT = 400


class GithubArgs(ToolArgs):
    """What github takes."""

    operation: Literal["search_code", "examples", "read", "repositories"] = Field(
        description="search_code: query, repository or not; examples: repository, query or not; read: repository and "
        "path; repositories: query, owner, or both."
    )
    repository: str = Field("", max_length=300, description="owner/name, or an address such as one of a file.")
    path: str = Field("", max_length=500, description="read: the file or folder in the repository.")
    ref: str = Field("", max_length=200, description="A branch, tag or commit; empty is the default branch.")
    first_line: int | None = Field(None, ge=1, description="read: the first line to show.")
    last_line: int | None = Field(None, ge=1, description="read: the last line to show.")
    query: str = Field("", max_length=250, description="Words to look for.")
    owner: str = Field("", max_length=100, pattern=r"^[\w.-]*$", description="repositories: a user or organisation.")
    sort: Literal["stars", "updated"] = Field("stars", description="repositories: what comes first.")
    limit: int = Field(10, ge=1, le=50, description="How many entries of a list at most.")

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

    Before you write a training script find a current one: examples ranks the scripts of a repository such as
    huggingface/trl for a query such as "grpo vllm"; read shows a file with line numbers, a range of it, a folder, or a
    notebook as markdown. search_code needs GITHUB_TOKEN; the others work without, 60 requests an hour.
    """
    place = _place(args) if args.repository.strip() else FileAddress("")
    match args.operation:
        case "read":
            text = await ask_github(lambda client: read_place(client, place), f"{place.repository}/{place.path}")
            return await render_untrusted(lambda: text, _address(place))
        case "examples":
            return await _examples(args, place)
        case "search_code":
            return await _search(args, place)
        case _:
            return await _repositories(args)


def _place(args: GithubArgs) -> FileAddress:
    """The place an address names, where the other arguments do not say otherwise."""
    named = place_of(args.repository)
    return replace(
        named,
        path=args.path.strip("/") or named.path,
        ref=args.ref or named.ref,
        first=args.first_line or named.first,
        last=args.last_line or named.last,
    )


def _address(place: FileAddress) -> str:
    return f"{_SITE}/{place.repository}" + (f"/blob/{place.ref or 'HEAD'}/{place.path}" if place.path else "")


async def _examples(args: GithubArgs, place: FileAddress) -> ToolResult:
    found = await ask_github(lambda client: examples(client, place, args.query, args.limit), place.repository)
    if not found:
        return ToolResult(f"{place.repository} has no example scripts for {args.query!r}; use other words, or read it")
    return untrusted_result("\n".join(found), _address(replace(place, path="")))


async def _search(args: GithubArgs, place: FileAddress) -> ToolResult:
    if not has_token():
        raise ToolError(
            "GitHub's code search needs GITHUB_TOKEN, which is not set; use examples and read on a repository, or "
            "web_search with site:github.com"
        )
    query = f"{args.query} repo:{place.repository}" if place.repository else args.query

    def search(client: "Github") -> list[str]:
        return [_hit(one) for one in islice(client.search_code(query, highlight=True), args.limit)]

    found = await ask_github(search, "this search")
    if not found:
        return ToolResult(f"no code found for {args.query!r}; use fewer or other words")
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

    found = await ask_github(search, f"owner {args.owner}" if args.owner else "this search")
    if not found:
        return ToolResult(f"no repositories found for {query!r}; use fewer or other words")
    return untrusted_result("\n".join(found), f"{_SITE}/search")


def _repository(one: Any) -> str:
    about = " ".join((one.description or "").split())[:200]
    archived = ", archived" if one.archived else ""
    pushed = f", pushed {one.pushed_at:%Y-%m-%d}" if one.pushed_at else ""
    return (
        f"{one.full_name} ({one.stargazers_count:,} stars, {one.language or 'no language'}{pushed}{archived}): {about}"
    )
