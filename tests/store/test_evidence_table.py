"""Evidence of a thread: which locked files change with an answer of the user."""

from ml_intern.store.store import Store


async def test_only_the_named_file_is_unlocked_and_it_keeps_its_own_digest(store: Store) -> None:
    bodies = {name: {"digest": f"digest of {name}", "kind": "lock"} for name in ("/w/a.py", "/w/b.py", "/w/c.py")}
    await store.evidence.add_missing("t", "lock", bodies)
    await store.evidence.unlock("t", "/w/b.py")
    assert await store.evidence.locked("t") == ("/w/a.py", "/w/c.py")
    found = {row.ref: row.body for row in await store.evidence.list("t", "lock")}
    assert found.pop("/w/b.py") == {"digest": "digest of /w/b.py", "kind": "watch", "unlocked": True}
    assert found == {name: bodies[name] for name in ("/w/a.py", "/w/c.py")}


async def test_a_file_that_is_only_watched_is_not_unlocked(store: Store) -> None:
    body = {"digest": "d", "kind": "watch"}
    await store.evidence.add_missing("t", "lock", {"/w/a.py": body})
    await store.evidence.unlock("t", "/w/a.py")
    assert [row.body for row in await store.evidence.list("t", "lock")] == [body]
