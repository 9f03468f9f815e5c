"""The table of threads: lookup, lists, and deletion."""

import time

import pytest

from ml_intern.configs.errors import ThreadLocked, UsageError
from ml_intern.store.journal import CallKey
from ml_intern.store.runs import RunRow
from ml_intern.store.store import Store
from tests.store.conftest import REFUSED
from tests.store.graphs import Tokens, write_checkpoints


async def test_a_thread_is_found_by_id_unique_prefix_or_title(store: Store) -> None:
    row = await store.threads.create(id="aaaa-1", title="Train a Model", folder="/ws")
    await store.threads.create(id="bbbb-1")
    for text in ("aaaa-1", "a", "AAAA", "train a model", " Train a Model "):
        assert await store.threads.find(text) == row


async def test_an_exact_id_takes_precedence_over_longer_ids(store: Store) -> None:
    await store.threads.create(id="abc")
    await store.threads.create(id="abcd")
    assert (await store.threads.find("abc")).id == "abc"


async def test_an_ambiguous_prefix_lists_the_candidates(store: Store) -> None:
    await store.threads.create(id="abc-1", title="first")
    await store.threads.create(id="abd-1")
    await store.threads.create(id="xyz", title="ab")
    with pytest.raises(UsageError, match=r"matches several threads: .*first.*give more characters of the id") as raised:
        await store.threads.find("ab")
    assert raised.value.exit_code == 2
    assert all(name in str(raised.value) for name in ("abc-1", "abd-1", "xyz"))


async def test_an_unknown_thread_suggests_similar_names(store: Store) -> None:
    await store.threads.create(title="Fine-tune the tokenizer")
    with pytest.raises(UsageError, match="did you mean Fine-tune the tokenizer"):
        await store.threads.find("Fine-tune the tokeniser")


@pytest.mark.parametrize("text", ["", "   ", "%", "_", "*", "nothing like it"])
async def test_special_characters_are_not_patterns(store: Store, text: str) -> None:
    await store.threads.create(id="abc", title="title")
    with pytest.raises(UsageError, match="no thread"):
        await store.threads.find(text)


async def test_an_existing_id_is_rejected_and_its_thread_unchanged(store: Store) -> None:
    await store.threads.create(id="a", title="first")
    with pytest.raises(UsageError, match="already"):
        await store.threads.create(id="a", title="second")
    assert (await store.threads.find("a")).title == "first"


async def test_lists_are_ordered_by_last_change(store: Store) -> None:
    for name in "abc":
        await store.threads.create(id=name)
    await store.threads.update("a", turns=1)
    assert [row.id for row in await store.threads.list()] == ["a", "c", "b"]
    assert [row.id for row in await store.threads.list(limit=1)] == ["a"]


async def test_a_folder_has_its_own_threads_and_latest_thread(store: Store) -> None:
    await store.threads.create(id="a", folder="/one")
    await store.threads.create(id="b", folder="/two")
    assert [row.id for row in await store.threads.list("/one")] == ["a"]
    newest = await store.threads.latest("/two")
    assert newest is not None
    assert newest.id == "b"
    assert await store.threads.latest("/three") is None


async def test_threads_of_sub_agents_are_listed_on_request_and_forks_always(store: Store) -> None:
    main = await store.threads.create(id="main", folder="/ws")
    fork = await store.threads.create(id="fork", folder="/ws", parent="main", forked_at=2)
    child = await store.threads.create(id="child", folder="/ws", parent="main")
    assert [row.child for row in (main, fork, child)] == [False, False, True]
    assert {row.id for row in await store.threads.list()} == {"main", "fork"}
    assert {row.id for row in await store.threads.list(children=True)} == {"main", "fork", "child"}
    newest = await store.threads.latest("/ws")
    assert newest is not None
    assert newest.id == "fork"


async def test_redo_checkpoints_keep_their_order(store: Store) -> None:
    await store.threads.create(id="a")
    assert (await store.threads.update("a", redo=("tip1", "tip2"))).redo == ("tip1", "tip2")
    row = await store.threads.get("a")
    assert row is not None
    assert row.redo == ("tip1", "tip2")
    assert (await store.threads.update("a", redo=())).redo == ()


async def test_unknown_states_are_rejected(store: Store) -> None:
    await store.threads.create(id="a")
    assert (await store.threads.update("a", state="waiting")).state == "waiting"
    with pytest.raises(REFUSED, match=r"(?i)check"):
        await store.threads.update("a", state="sleeping")  # type: ignore[arg-type]


async def test_changing_or_deleting_an_unknown_thread_is_an_error(store: Store) -> None:
    with pytest.raises(UsageError, match="no thread"):
        await store.threads.update("a", title="x")
    with pytest.raises(UsageError, match="no thread"):
        await store.threads.delete("a")


async def test_get_or_create_keeps_an_existing_row(store: Store) -> None:
    assert (await store.threads.get_or_create("studio", folder="/ws")).folder == "/ws"
    assert (await store.threads.get_or_create("studio", folder="/other")).folder == "/ws"


async def test_a_thread_without_a_row_is_listed_from_checkpoints_and_ledger(store: Store) -> None:
    await write_checkpoints(store, "studio-thread", turns=3)
    await store.ledger.settle(await store.ledger.reserve("studio-thread", "studio-thread", "main", "m"), Tokens(), 0.5)
    (row,) = await store.threads.list()
    assert (row.id, row.turns, row.cost_usd, row.unpriced_requests) == ("studio-thread", 3, 0.5, 0)
    assert time.time() - 60 < row.created <= row.updated <= time.time() + 1
    assert (await store.threads.find("studio")).id == "studio-thread"


async def test_the_cost_of_a_thread_is_what_the_ledger_says_now(store: Store) -> None:
    """Also of a thread whose process died before it wrote its row, with its sub-agents' and unknown costs."""
    await store.threads.create(id="t")
    await store.threads.create(id="child", parent="t", cost_usd=0.25)
    for thread, cost in (("t", 0.5), ("child", 0.25), ("t", None)):
        await store.ledger.settle(await store.ledger.reserve(thread, "t", "main", "m"), Tokens(), cost)
    root, child = await store.threads.find("t"), await store.threads.find("child")
    total = await store.ledger.total("t")
    assert (root.cost_usd, root.unpriced_requests) == (0.75, 1) == (total.cost_usd, total.unpriced_requests)
    assert (child.cost_usd, child.unpriced_requests) == (0.25, 0)


async def test_deleting_includes_sub_agents_and_files_but_not_forks_and_ledger(
    store: Store,
) -> None:
    await store.threads.create(id="main")
    await store.threads.create(id="child", parent="main")
    await store.threads.create(id="grandchild", parent="child")
    await store.threads.create(id="fork", parent="main", forked_at=1)
    for id in ("main", "child", "grandchild", "fork"):
        await write_checkpoints(store, id, turns=1)
        await store.journal.start(CallKey(id, "m", 0), "bash", "d")
        await store.runs.add(RunRow(f"run-{id}", id, "true", "succeeded"))
        await store.ledger.reserve(id, "main", "main", "m")
        (store.home / "artifacts" / id).mkdir(parents=True)
    assert set(await store.delete("main")) == {"main", "child", "grandchild"}
    assert [row.id for row in await store.threads.list(children=True)] == ["fork"]
    assert [row.thread_id for row in await store.runs.list()] == ["fork"]
    assert [bool(await store.journal.of_message(id, "m")) for id in ("main", "child", "fork")] == [False, False, True]
    assert (await store.checkpoints.sizes()).keys() == {"fork"}
    assert [path.name for path in (store.home / "artifacts").iterdir()] == ["fork"]
    assert (await store.ledger.total("main")).requests == 4


@pytest.mark.parametrize("id", ["../other", "..", ".", "/tmp/x", "a/../../other"])
async def test_deleting_never_escapes_the_artifacts_folder(store: Store, id: str) -> None:
    kept = [store.home / "other" / "file", store.home / "artifacts" / "a" / "file"]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("kept")
    await store.threads.create(id=id)
    assert await store.delete(id) == [id]
    assert [path.read_text() for path in kept] == ["kept", "kept"]


async def test_a_running_thread_is_not_deleted(store: Store) -> None:
    await store.threads.create(id="a")
    async with store.hold("a"):
        with pytest.raises(ThreadLocked):
            await store.delete("a")
    assert await store.threads.get("a") is not None


async def test_any_text_is_stored_unchanged(store: Store) -> None:
    title = "'; DROP TABLE threads; -- %s ? :name \u202e ü 🚀"
    row = await store.threads.create(title=title, redo=("a'b", '"'))
    assert await store.threads.get(row.id) == row
    assert [one.id for one in await store.threads.list()] == [row.id]


async def test_a_text_with_the_character_zero_is_stored(store: Store) -> None:
    row = await store.threads.create(title="a\0b")
    found = await store.threads.get(row.id)
    assert found is not None
    assert found.title in ("a\0b", "a\N{SYMBOL FOR NULL}b")  # PostgreSQL cannot store the character
