"""Read operations of the Hub tools: limited size, the token goes only to the Hub, the event loop is not blocked."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from ml_intern.tools.hub.hub_repos import READING
from ml_intern.tools.hub.hub_search import Kind
from tests.fakes.hub import Blob, FakeHub
from tests.tools.hub.conftest import HubBench

ROWS = [{"text": f"text {n}" * 300, "label": n % 2} for n in range(300)]
CALLS: list[tuple[str, dict[str, Any]]] = [
    *(("hub_search", {"kind": kind, "query": "" if kind == "collections" else "m"}) for kind in get_args(Kind)),
    ("datasets", {"operation": "search", "query": "m"}),
    ("datasets", {"operation": "inspect", "dataset": "org/m"}),
    ("datasets", {"operation": "inspect", "dataset": "org/m-files"}),
    ("datasets", {"operation": "rows", "dataset": "org/m", "limit": 100}),
    ("datasets", {"operation": "rows", "dataset": "org/m", "query": "text"}),
    ("datasets", {"operation": "rows", "dataset": "org/m", "where": '"label"=1', "orderby": '"text"'}),
    ("datasets", {"operation": "sql", "dataset": "org/m", "sql": "SELECT * FROM train", "limit": 100}),
    ("datasets", {"operation": "leaderboard", "dataset": "org/m"}),
    *(
        ("hub_repos", {"operation": operation, "repo": "org/m", "path": "big.txt" if operation == "read" else ""})
        for operation in sorted(READING - {"diff", "discussion", "runtime", "logs"})
    ),
    ("hub_repos", {"operation": "discussion", "repo": "org/m", "number": 1}),
    ("hub_repos", {"operation": "diff", "repo": "org/m", "local": "out"}),
    ("hub_repos", {"operation": "diff", "repo": "org/m", "against": "refs/pr/1"}),
    ("hub_repos", {"operation": "runtime", "repo": "org/m", "type": "space"}),
    ("hub_repos", {"operation": "logs", "repo": "org/m", "type": "space"}),
]


@pytest.fixture
def stocked(hub: FakeHub, desk: HubBench) -> HubBench:
    """A Hub with content for every call."""
    big = "line\n" * 1_000_000
    model = hub.add("models", "org/m", {"big.txt": big, "w.bin": Blob(b"\0", lfs=True, size=1 << 40)})
    model.discussions.append(_pull())
    model.pulls[1] = model.commit({"new.txt": Blob(b"x")}, revision="refs/pr/1")
    hub.add("spaces", "org/m", {}, sdk="gradio", extra={"run_log": ["a line of the log"] * 30_000})
    hub.add_dataset("org/m", {"train": ROWS, "test": ROWS[:5]})
    hub.add("datasets", "org/m-files", {"train.jsonl": '{"text": "a"}\n' * 1000})
    author = {"_id": "1", "name": "org", "fullname": "Org", "type": "org", "avatarUrl": ""}
    hub.leaderboards["org/m"] = [
        {"rank": n, "modelId": f"org/m{n}", "value": 1, "filename": "a", "verified": True, "author": author}
        for n in range(50)
    ]
    hub.router_models = [{"id": f"org/m{n}", "providers": [{"provider": "p", "status": "live"}]} for n in range(200)]
    known = {"slug": "s", "title": "T", "owner": {"name": "o"}, "items": [], "private": False, "theme": "g"}
    hub.collections = [{**known, "lastUpdated": "2026-01-01T00:00:00Z", "upvotes": 1}]
    desk.file("out/big.txt", "other\n")
    return desk


def _pull() -> dict[str, Any]:
    when = "2026-01-01T00:00:00.000Z"
    data = {"edited": False, "hidden": False, "latest": {"raw": "hello " * 10_000, "html": "", "updatedAt": when}}
    event = {"id": "1" * 24, "type": "comment", "createdAt": when, "author": {"name": "eve"}, "data": data}
    return {
        "num": 1, "title": "T", "author": {"name": "eve"}, "createdAt": when, "status": "open", "isPullRequest": True,
        "repo": {"name": "org/m", "type": "model"}, "events": [event], "changes": {"base": "refs/heads/main"},
        "filesWithConflicts": [],
    }  # fmt: skip


async def test_every_reading_call_is_limited_in_size_and_sends_the_token_only_to_the_hub(
    hub: FakeHub, stocked: HubBench, record_property: Callable[[str, object], None]
) -> None:
    for name, args in CALLS:
        result = await stocked.run(name, **args)
        assert result.ok, (name, args, result.text)
        assert len(result.text) < 20_200, (name, args, len(result.text))
        if "characters left out" in result.text:
            assert result.artifact is not None
        assert result.taint or args.get("operation") in ("account", "runtime"), (name, args)
    assert hub.tokens_at("localhost") == []
    assert [asked.method for asked in hub.asked if asked.method not in ("GET", "HEAD", "POST")] == []
    assert {asked.path.rpartition("/")[2] for asked in hub.asked if asked.method == "POST"} <= {"main", "1"}
    record_property("reached", f"{len(CALLS)} reading calls of hub_search, datasets and hub_repos")


async def test_no_call_blocks_the_event_loop(stocked: HubBench) -> None:
    # blockbuster is part of LangGraph's server, which runs every tool under it.
    blockbuster = pytest.importorskip("blockbuster", reason="needs the extra [studio]: uv sync --extra studio")
    stocked.file("up/a.txt", "a")
    moves: list[tuple[str, dict[str, Any]]] = [
        ("hub_repos", {"operation": "upload", "repo": "ada/m", "local": "up"}),
        ("hub_repos", {"operation": "download", "repo": "ada/m", "local": "down"}),
    ]
    for name, args in [*CALLS, *moves]:
        guard = blockbuster.BlockBuster()
        # The measurement of coverage takes a lock of its own.
        guard.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", {"lock_data"})
        guard.activate()
        try:
            result = await stocked.run(name, **args)
        finally:
            guard.deactivate()
        assert result.ok, (name, args, result.text)


async def test_inaccessible_rows_are_reported_with_the_hubs_reason(hub: FakeHub, desk: HubBench) -> None:
    hub.add_dataset("org/closed", {"train": ROWS[:3]}, gated="manual")
    hub.add_dataset("org/hidden", {"train": ROWS[:3]}, private=True)
    for dataset, expected in (
        ("org/closed", "gated and the token has no access to it"),
        ("org/hidden", "or it is private and the token has no access"),
        ("org/none", "there is no dataset org/none"),
    ):
        result = await desk.run("datasets", operation="rows", dataset=dataset)
        assert (result.ok, expected in result.text) == (False, True), result.text
