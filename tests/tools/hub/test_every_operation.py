"""The list of the Hub's operations: each is exercised by a call that other tests check."""

from collections.abc import Callable, Mapping

from tests.tools.hub import test_effects as test_reach
from tests.tools.hub import test_hub_repos
from tests.tools.web import test_reach as test_reading

REPOS = {
    "who am I, organisations, plan": "account",
    "a repository's information": "info",
    "list files": "list",
    "read a file": "read",
    "compare with local files or a revision": "diff",
    "download": "download",
    "upload files and folders, commit, as a pull request": "upload",
    "delete files": "delete_files",
    "cards and their metadata": "card",
    "create a repository": "create",
    "its settings": "settings",
    "move it": "move",
    "duplicate it": "duplicate",
    "delete it": "delete_repo",
    "branches, tags and other refs": "refs",
    "create a branch": "create_branch",
    "delete a branch": "delete_branch",
    "create a tag": "create_tag",
    "delete a tag": "delete_tag",
    "commits": "commits",
    "discussions and pull requests": "discussions",
    "one of them": "discussion",
    "open a discussion": "open_discussion",
    "open a pull request": "open_pull_request",
    "comment": "comment",
    "rename": "rename_discussion",
    "close": "close",
    "open again": "reopen",
    "merge": "merge",
    "a space's runtime": "runtime",
    "a space's logs": "logs",
}
OTHERS = {
    "search the documentation": ("docs_search", ""),
    "read and list its pages, the index of the HTTP API": ("docs_read", ""),
    "search papers": ("papers", "search"),
    "papers of the day": ("papers", "trending"),
    "a paper's details": ("papers", "details"),
    "a paper's models, datasets, spaces and collections": ("papers", "linked"),
    "a paper's full text": ("papers", "read"),
    "who cites it": ("papers", "citations"),
    "what it cites": ("papers", "references"),
    "snippets of papers": ("papers", "snippets"),
    "recommended papers": ("papers", "recommend"),
    "models": ("hub_search", "models"),
    "datasets": ("hub_search", "datasets"),
    "spaces": ("hub_search", "spaces"),
    "collections": ("hub_search", "collections"),
    "the router's catalogue of models": ("hub_search", "served_models"),
    "find a dataset to train on": ("datasets", "search"),
    "its splits, columns, statistics and first rows": ("datasets", "inspect"),
    "its rows, searched and filtered": ("datasets", "rows"),
    "its parquet files, by SQL": ("datasets", "sql"),
    "its leaderboard": ("datasets", "leaderboard"),
}


def checked() -> set[tuple[str, str]]:
    """Return every tool and operation that a test calls and checks with the real client or the fake."""
    calls: list[tuple[str, Mapping[str, object]]] = [*test_reach.CALLS, *test_reading.CALLS]
    calls += [("hub_repos", args) for args, _, _ in test_hub_repos.STEPS]
    return {(name, str(args.get("operation", args.get("kind", "")))) for name, args in calls}


def test_every_operation_of_the_hub_is_exercised_by_a_test(
    record_property: Callable[[str, object], None],
) -> None:
    wanted = {expected: ("hub_repos", operation) for expected, operation in REPOS.items()} | OTHERS
    known = checked()
    assert [expected for expected, call in wanted.items() if call not in known] == []
    record_property(
        "reached", f"{len(wanted)} operations of the Hub, by {len({tool for tool, _ in wanted.values()})} tools"
    )
