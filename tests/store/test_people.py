"""Users, tokens and access to threads, on both databases."""

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.store.store import Store
from ml_intern.store.team.people.users import ID_LENGTH, digest_of


async def test_a_token_is_known_until_it_is_revoked_and_is_not_stored(store: Store) -> None:
    ada = await store.users.add("ada")
    token, other = await store.users.add_token(ada, "laptop"), await store.users.add_token(ada)
    session = await store.users.open_session(ada, token)
    assert await store.users.by_token(token, "token") == ada
    assert await store.users.by_token(session, "session") == ada
    assert (await store.users.by_token(session, "token"), await store.users.by_token(token, "session")) == (None, None)
    stored = await store.database.read(lambda one: str(one.execute("SELECT * FROM access_tokens").fetchall()))
    assert not {token, other, session} & set(stored.split("'"))
    await store.users.revoke(digest_of(token)[:ID_LENGTH])
    assert (await store.users.by_token(token, "token"), await store.users.by_token(session, "session")) == (None, None)
    assert await store.users.by_token(other, "token") == ada
    with pytest.raises(UsageError, match="no token"):
        await store.users.revoke("")


@pytest.mark.parametrize("name", ["", "operator", "Ada", "a b", "../x", "a" * 40, "-x"])
async def test_a_name_that_is_not_valid_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="not a valid user name"):
        await store.users.add(name)


async def test_a_later_user_of_the_same_name_gets_nothing_of_the_first(store: Store) -> None:
    first, thread = await store.users.add("ada"), await store.threads.create()
    token = await store.users.add_token(first)
    await store.sharing.own(thread.id, first.id)
    await store.users.remove("ada")
    second = await store.users.add("ada", admin=True)
    assert await store.users.by_token(token, "token") is None
    assert await store.sharing.level(thread.id, second.id) is None
    assert await store.threads.list(user=second.id) == []
    assert [row.id for row in await store.threads.list()] == [thread.id]


async def test_access_covers_sub_agents_and_not_copies(store: Store) -> None:
    ada, bob = await store.users.add("ada"), await store.users.add("bob")
    thread = await store.threads.create()
    await store.sharing.own(thread.id, ada.id)
    await store.sharing.share(thread.id, bob.id, "read")
    child = await store.threads.create(parent=thread.id)
    copy = await store.threads.create(parent=thread.id, forked_at=1)
    levels = [[await store.sharing.level(one.id, user.id) for user in (ada, bob)] for one in (thread, child, copy)]
    assert levels == [["own", "read"], ["own", "read"], ["own", None]]
    await store.delete(thread.id)
    again = await store.threads.create(id=thread.id)
    assert await store.sharing.level(again.id, bob.id) is None


async def test_an_owner_can_give_a_thread_away_and_is_not_removed_from_it(store: Store) -> None:
    ada, bob = await store.users.add("ada"), await store.users.add("bob")
    thread = await store.threads.create()
    await store.sharing.own(thread.id, ada.id)
    with pytest.raises(UsageError, match="owns the thread"):
        await store.sharing.share(thread.id, ada.id, None)
    await store.sharing.share(thread.id, bob.id, "write")
    await store.sharing.own(thread.id, bob.id)
    assert await store.sharing.people(thread.id) == [("bob", "own")]
    with pytest.raises(UsageError, match="no thread"):
        await store.sharing.share("none", bob.id, "read")
