"""Change and read who has access to a thread of a team's database."""

from collections.abc import Sequence

from ml_intern.configs.errors import UsageError
from ml_intern.configs.paths import DATABASE_VARIABLE, database_url
from ml_intern.session.opening.store import open_store
from ml_intern.store.team.people.sharing import LEVELS, Level, Sharing
from ml_intern.store.team.people.users import Users

Granted = Sequence[tuple[str, Level]]
"""Names of users, and what they may do."""


async def share_thread(thread_id: str, user: str, can: str) -> Granted:
    """Let a user do something with a thread, if one is named. Return who has access. Raises UsageError."""
    if not database_url():
        raise UsageError(
            "threads of this machine's file have one user", f"set {DATABASE_VARIABLE} for a team's threads"
        )
    async with open_store() as store:
        if user:
            await grant(store.users, store.sharing, thread_id, user, can)
        return await store.sharing.people(thread_id)


async def grant(users: Users, sharing: Sharing, thread_id: str, user: str, can: str) -> None:
    """Let a user do what `can` says with a thread: a level, or "nothing". Raises UsageError."""
    found = await users.find(user)
    level = next((one for one in LEVELS if one == can), None)
    if level is None and can != "nothing":
        raise UsageError(f"{can[:20]!r} is not a level of access", f"use {', '.join(LEVELS)} or nothing")
    if level == "own":
        await sharing.own(thread_id, found.id)
    else:
        await sharing.share(thread_id, found.id, level)
