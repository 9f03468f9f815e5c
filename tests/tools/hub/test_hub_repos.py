"""hub_repos: every operation, called as the loop does and checked with the real client."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
import yaml
from huggingface_hub import DiscussionComment, HfApi

from ml_intern.execution.call import ToolResult
from ml_intern.execution.policy_inputs import always_offers
from ml_intern.execution.run import judge, run_call
from ml_intern.store.permissions import Grant
from ml_intern.tools.hub.hub_repos import READING, REMOTE, WITH_FILES, hub_repos
from ml_intern.tools.hub.repo_args import Operation
from tests.execution.conftest import Bench
from tests.fakes.hub import FakeHub

CARD = "---\nlicense: mit\nbase_model: org/base\n---\n# m\n"
Check = Callable[[HfApi, Bench, str], bool]


async def call(bench: Bench, operation: str, user_text: str = "", mode: str = "auto", **args: Any) -> ToolResult:
    context = replace(bench.context(mode=mode), user_text=user_text)
    return await run_call(bench.call("hub_repos", {"operation": operation, **args}), context)


def metadata(api: HfApi, repo: str) -> dict[str, Any]:
    card = api.model_info(repo).card_data
    assert card is not None
    written: dict[str, Any] = yaml.safe_load(card.to_yaml())
    return written


def comments(api: HfApi, number: int) -> list[str]:
    """Return the texts of a discussion of ada/m, in order."""
    events = api.get_discussion_details("ada/m", number).events
    return [event.content for event in events if isinstance(event, DiscussionComment)]


STEPS: list[tuple[dict[str, Any], str, Check]] = [
    ({"operation": "account"}, "signed in as ada; organisations: lab", lambda api, bench, text: True),
    (
        {"operation": "create", "repo": "m"},
        "created model ada/m, private",
        lambda api, bench, text: bool(api.model_info("ada/m").private),
    ),
    (
        {"operation": "upload", "repo": "m", "local": "out"},
        "uploaded 3 files, .*private, commit",
        lambda api, bench, text: set(api.list_repo_files("ada/m")) >= {"README.md", "model.safetensors", "a/b.txt"},
    ),
    (
        {"operation": "info", "repo": "ada/m"},
        r"model ada/m · private",
        lambda api, bench, text: str(api.model_info("ada/m").sha) in text,
    ),
    ({"operation": "list", "repo": "ada/m"}, r"a/\n", lambda api, bench, text: "model.safetensors  4 kB" in text),
    ({"operation": "read", "repo": "ada/m", "path": "a/b.txt"}, "one\ntwo", lambda api, bench, text: True),
    ({"operation": "refs", "repo": "ada/m"}, "branch main at", lambda api, bench, text: True),
    (
        {"operation": "create_branch", "repo": "ada/m", "name": "side"},
        "branch side",
        lambda api, bench, text: "side" in [one.name for one in api.list_repo_refs("ada/m").branches],
    ),
    (
        {"operation": "create_tag", "repo": "ada/m", "name": "v1", "message": "first"},
        "as v1",
        lambda api, bench, text: [one.name for one in api.list_repo_refs("ada/m").tags] == ["v1"],
    ),
    (
        {"operation": "card", "repo": "ada/m", "metadata": {"license": "apache-2.0", "datasets": ["org/d"]}},
        "set license, datasets",
        lambda api, bench, text: (
            metadata(api, "ada/m")
            == {"license": "apache-2.0", "base_model": "org/base", "datasets": ["org/d"], "tags": ["ml-intern"]}
        ),
    ),
    (
        {"operation": "diff", "repo": "ada/m", "revision": "v1", "against": "main"},
        r"changed README.md.*\n(.*\n)*-license: mit\n\+license: apache-2.0",
        lambda api, bench, text: "model.safetensors" not in text,
    ),
    (
        {"operation": "upload", "repo": "ada/m", "local": "new.txt", "path": "a/new.txt", "create_pr": True},
        "pull request 1",
        lambda api, bench, text: "a/new.txt" in api.list_repo_files("ada/m", revision="refs/pr/1"),
    ),
    ({"operation": "discussions", "repo": "ada/m"}, "1 pull request, open: Upload a/new.txt", lambda *_: True),
    ({"operation": "discussion", "repo": "ada/m", "number": 1}, r"\+fresh", lambda *_: True),
    (
        {"operation": "comment", "repo": "ada/m", "number": 1, "text": "looks right"},
        "commented on 1",
        lambda api, bench, text: comments(api, 1)[-1] == "looks right",
    ),
    (
        {"operation": "rename_discussion", "repo": "ada/m", "number": 1, "title": "A new file"},
        "is now titled 'A new file'",
        lambda api, bench, text: api.get_discussion_details("ada/m", 1).title == "A new file",
    ),
    (
        {"operation": "merge", "repo": "ada/m", "number": 1},
        "pull request 1 of model ada/m is merged",
        lambda api, bench, text: "a/new.txt" in api.list_repo_files("ada/m"),
    ),
    (
        {"operation": "commits", "repo": "ada/m"},
        "Upload a/new.txt",
        lambda api, bench, text: text.count("\n") >= len(api.list_repo_commits("ada/m")),
    ),
    (
        {"operation": "open_discussion", "repo": "ada/m", "title": "Why?", "text": "a question"},
        "opened discussion 2",
        lambda api, bench, text: comments(api, 2)[0] == "a question",
    ),
    (
        {"operation": "close", "repo": "ada/m", "number": 2},
        "2 of model ada/m is closed",
        lambda api, bench, text: api.get_discussion_details("ada/m", 2).status == "closed",
    ),
    (
        {"operation": "reopen", "repo": "ada/m", "number": 2},
        "2 of model ada/m is open",
        lambda api, bench, text: api.get_discussion_details("ada/m", 2).status == "open",
    ),
    (
        {"operation": "open_pull_request", "repo": "ada/m", "title": "Draft"},
        "refs/pr/3",
        lambda api, bench, text: api.get_discussion_details("ada/m", 3).is_pull_request,
    ),
    (
        {"operation": "delete_files", "repo": "ada/m", "patterns": ["a/"]},
        "deleted from model ada/m .*: a/b.txt, a/new.txt",
        lambda api, bench, text: not [path for path in api.list_repo_files("ada/m") if path.startswith("a/")],
    ),
    (
        {"operation": "download", "repo": "ada/m", "local": "down", "patterns": ["*.md", "*.safetensors"]},
        "downloaded 2 files",
        lambda api, bench, text: (bench.workspace / "down" / "model.safetensors").stat().st_size == 4000,
    ),
    (
        {"operation": "delete_tag", "repo": "ada/m", "name": "v1"},
        "deleted the tag v1",
        lambda api, bench, text: api.list_repo_refs("ada/m").tags == [],
    ),
    (
        {"operation": "delete_branch", "repo": "ada/m", "name": "side"},
        "deleted the branch side",
        lambda api, bench, text: [one.name for one in api.list_repo_refs("ada/m").branches] == ["main"],
    ),
    (
        {"operation": "duplicate", "repo": "ada/m", "to": "copy"},
        "copied model ada/m to ada/copy, private",
        lambda api, bench, text: bool(api.model_info("ada/copy").private),
    ),
    (
        {"operation": "move", "repo": "ada/copy", "to": "lab/copy"},
        "model ada/copy is now lab/copy",
        lambda api, bench, text: api.repo_exists("lab/copy"),
    ),
    (
        {"operation": "settings", "repo": "ada/m", "private": False, "gated": "auto"},
        "is now public, gated: auto",
        lambda api, bench, text: (api.model_info("ada/m").private, api.model_info("ada/m").gated) == (False, "auto"),
    ),
    (
        {"operation": "delete_repo", "repo": "lab/copy"},
        "deleted model lab/copy",
        lambda api, bench, text: not api.repo_exists("lab/copy"),
    ),
    (
        {"operation": "create", "repo": "ada/s", "type": "space", "sdk": "gradio"},
        "created space ada/s, private",
        lambda api, bench, text: bool(api.space_info("ada/s").private),
    ),
    ({"operation": "runtime", "repo": "ada/s", "type": "space"}, "RUNNING, hardware cpu-basic", lambda *_: True),
    ({"operation": "logs", "repo": "ada/s", "type": "space"}, "Running on local", lambda *_: True),
]


async def test_every_operation_is_confirmed_by_the_real_client(
    hub: FakeHub, client: HfApi, bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    bench.file("out/README.md", CARD)
    bench.file("out/model.safetensors", b"\1" * 4000)
    bench.file("out/a/b.txt", "one\ntwo\n")
    bench.file("new.txt", "fresh\n")
    named = "publish ada/m, and move ada/copy to lab/copy, which you may delete"
    for args, expected, check in STEPS:
        result = await call(bench, user_text=named, **args)
        assert result.ok, (args, result.text)
        assert re.search(expected, result.text), (args, result.text)
        assert check(client, bench, result.text), args
        assert len(result.text) < 20_000
    done = {args["operation"] for args, _, _ in STEPS}
    assert done == set(get_args(Operation))
    assert hub.tokens_at("localhost") == []
    record_property("reached", f"{len(done)} operations of hub_repos")


def test_tables_description_and_parameter_list_the_same_operations() -> None:
    assert set(REMOTE) | set(WITH_FILES) == set(get_args(Operation))
    for operation in get_args(Operation):
        assert re.search(rf"\b{operation}\b", hub_repos.description), operation
    assert set(get_args(Operation)) > READING


@pytest.mark.parametrize(
    ("mode", "operation", "args", "verdict"),
    [
        ("ask", "list", {"repo": "org/open"}, "done"),
        ("plan", "read", {"repo": "org/open", "path": "a"}, "done"),
        ("plan", "create", {"repo": "m"}, "refused"),
        ("ask", "create", {"repo": "m"}, "refused"),
        ("auto", "create", {"repo": "m"}, "done"),
        ("auto", "create", {"repo": "m", "private": False}, "refused"),
        ("auto", "upload", {"repo": "m", "local": "a.txt"}, "done"),
        ("auto", "upload", {"repo": "ada/own", "local": "a.txt"}, "done"),
        ("auto", "upload", {"repo": "ada/public", "local": "a.txt"}, "refused"),
        ("auto", "upload", {"repo": "lab/m", "local": "a.txt"}, "refused"),
        ("auto", "upload", {"repo": "org/open", "local": "a.txt", "create_pr": True}, "refused"),
        ("auto", "open_discussion", {"repo": "org/open", "title": "t"}, "refused"),
        ("auto", "settings", {"repo": "ada/own", "private": False}, "refused"),
        ("auto", "duplicate", {"repo": "org/open", "to": "mine"}, "done"),
        ("auto", "duplicate", {"repo": "org/open", "to": "mine", "private": False}, "refused"),
        ("auto", "move", {"repo": "ada/own", "to": "lab/taken"}, "refused"),
        ("auto", "delete_repo", {"repo": "ada/own"}, "refused"),
        ("yolo", "delete_repo", {"repo": "ada/own"}, "done"),
    ],
)
async def test_policy_depends_on_operation_owner_and_visibility(
    hub: FakeHub, bench: Bench, mode: str, operation: str, args: dict[str, Any], verdict: str
) -> None:
    hub.add("models", "ada/own", {"a": "1"}, private=True)
    hub.add("models", "ada/public", {"a": "1"})
    hub.add("models", "org/open", {"a": "1"})
    bench.file("a.txt", "a")
    context = replace(bench.context(mode=mode), taint=("a page",))
    result = await run_call(bench.call("hub_repos", {"operation": operation, **args}), context)
    assert result.status == verdict, result.text
    if verdict == "refused":
        assert [asked for asked in hub.asked if asked.method not in ("GET", "HEAD")] == []


async def test_a_repository_the_user_named_may_be_published(hub: FakeHub, bench: Bench) -> None:
    result = await call(bench, "create", user_text="please publish it as ada/famous", repo="ada/famous", private=False)
    assert "created model ada/famous, public" in result.text
    refused = await call(bench, "create", repo="ada/other", private=False)
    assert "would write to ada/other, visible to everyone, which the user did not name" in refused.text
    assert "keep it private, or ask the user to name it" in refused.text


async def test_a_write_with_a_missing_or_wrong_token_is_reported(
    hub: FakeHub, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.file("a.txt", "a")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "the token is missing, wrong or expired" in (await call(bench, "create", repo="ada/m")).text
    monkeypatch.delenv("HF_TOKEN")
    for operation, args in (("create", {}), ("upload", {"local": "a.txt"})):
        result = await call(bench, operation, repo="ada/m", **args)
        assert (result.ok, "HF_TOKEN" in result.text) == (False, True), result.text
    assert "there is no token to take it from" in (await call(bench, "info", repo="m")).text


async def test_always_for_downloads_does_not_cover_writes(hub: FakeHub, bench: Bench) -> None:
    hub.add("models", "ada/m", {"a": "1"}, private=True)
    context = bench.context(mode="ask")
    download = bench.call("hub_repos", {"operation": "download", "repo": "ada/m", "local": "down"})
    grants = await always_offers(download, context)
    assert grants == (Grant("hub_repos"),)
    await bench.store.permissions.add(str(bench.workspace), None, list(grants))
    assert (await judge(download, context)).kind == "allow"
    for operation in ("upload", "delete_repo", "create"):
        call = bench.call("hub_repos", {"operation": operation, "repo": "ada/m", "local": "a"})
        assert (await judge(call, context)).kind == "ask"
        assert await always_offers(call, context) == ()
