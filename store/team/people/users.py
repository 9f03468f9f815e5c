"""The table of users and their tokens. A token is stored as its digest only."""

import hashlib
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import uuid4

from ml_intern.configs.errors import UsageError
from ml_intern.store.connection import SqlConnection, ThreadDatabase

OPERATOR: Final = "operator"
"""The name of the user with the token of the server itself, which no other user can have."""
SESSION_SECONDS: Final = 30 * 24 * 3_600.0
"""The time after which a browser has to sign in again."""
NEVER: Final = 1e18
ID_LENGTH: Final = 8
"""Characters of a digest that name a token for its removal."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,38}")
_PREFIX: Final = "mli_"
TokenKind = Literal["token", "session"]


@dataclass(frozen=True)
class User:
    """A user. Threads belong to the id, so that a later user of the same name does not get them."""

    id: str
    name: str
    admin: bool
    created: float = 0.0


@dataclass(frozen=True)
class TokenRow:
    """A token without its text. `id` is the beginning of its digest."""

    id: str
    user: str
    label: str
    created: float


def digest_of(token: str) -> str:
    """Return the digest by which a token is found. Tokens are random, so they need no salt."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class Users:
    """The users of a database."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def add(self, name: str, *, admin: bool = False) -> User:
        """Add a user. Raises UsageError for a name that is taken or not valid."""
        if not _NAME.fullmatch(name) or name == OPERATOR:
            raise UsageError(
                f"{name[:60]!r} is not a valid user name",
                "use up to 39 of a-z, 0-9, '.', '_' and '-', beginning with a-z or 0-9",
            )
        user = User(uuid4().hex, name, admin, time.time())
        statement = "INSERT INTO users (id, name, admin, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        values = (user.id, name, int(admin), user.created)
        if not await self._database.write(lambda connection: connection.execute(statement, values).rowcount):
            raise UsageError(f"there is already a user {name!r}", "choose another name")
        return user

    async def list(self) -> Sequence[User]:
        """Return all users by name."""
        query = "SELECT id, name, admin, created FROM users ORDER BY name"
        return await self._database.read(lambda connection: [_user(*one) for one in connection.execute(query)])

    async def find(self, name: str) -> User:
        """Return a user by name. Raises UsageError."""
        query = "SELECT id, name, admin, created FROM users WHERE name = ?"
        found = await self._database.read(lambda connection: connection.execute(query, (name,)).fetchone())
        if found is None:
            raise UsageError(f"there is no user {name[:60]!r}", "`ml-intern server users list` lists them")
        return _user(*found)

    async def by_identity(self, issuer: str, subject: str) -> User | None:
        """Return the user whom an issuer of logins knows by a subject, or None."""
        query = (
            "SELECT users.id, name, admin, created FROM users JOIN identities ON users.id = user_id "
            "WHERE issuer = ? AND subject = ?"
        )
        found = await self._database.read(lambda connection: connection.execute(query, (issuer, subject)).fetchone())
        return _user(*found) if found else None

    async def add_identity(self, name: str, issuer: str, subject: str, *, admin: bool) -> User:
        """Add a user whom an issuer of logins knows by a subject. Raises UsageError for a name that is taken."""
        user = await self.add(name, admin=admin)
        statement = "INSERT INTO identities (issuer, subject, user_id) VALUES (?, ?, ?)"
        values = (issuer, subject, user.id)
        await self._database.write(lambda connection: connection.execute(statement, values).rowcount)
        return user

    async def remove(self, name: str) -> None:
        """Remove a user with the tokens, keys and shares. Threads stay, for admins only. Raises UsageError."""
        user = await self.find(name)

        def remove(connection: SqlConnection) -> None:
            for table in ("access_tokens", "identities", "thread_access", "budgets", "user_keys"):
                connection.execute(f"DELETE FROM {table} WHERE user_id = ?", (user.id,))  # noqa: S608  constants only
            connection.execute("DELETE FROM users WHERE id = ?", (user.id,))

        await self._database.write(remove)

    # --- tokens

    async def add_token(self, user: User, label: str = "") -> str:
        """Add a token and return its text, which is not stored."""
        token = _PREFIX + secrets.token_urlsafe(32)
        await self._insert(token, user.id, "token", label, "", NEVER)
        return token

    async def open_session(self, user: User, token: str = "") -> str:
        """Return the secret of a new session of a browser. It ends with the token that opened it, if one did."""
        secret, now = secrets.token_urlsafe(32), time.time()
        parent = digest_of(token) if token else ""
        statement = "DELETE FROM access_tokens WHERE expires < ?"
        await self._database.write(lambda connection: connection.execute(statement, (now,)).rowcount)
        await self._insert(secret, user.id, "session", "", parent, now + SESSION_SECONDS)
        return secret

    async def by_token(self, token: str, kind: TokenKind) -> User | None:
        """Return the user of a token or of a session, or None."""
        query = (
            "SELECT users.id, name, admin, users.created FROM users JOIN access_tokens ON users.id = user_id "
            "WHERE digest = ? AND kind = ? AND expires > ?"
        )
        values = (digest_of(token), kind, time.time())
        found = await self._database.read(lambda connection: connection.execute(query, values).fetchone())
        return _user(*found) if found else None

    async def tokens(self, name: str = "") -> Sequence[TokenRow]:
        """Return the tokens of a user, or of all, oldest first."""
        query = (
            "SELECT digest, name, label, access_tokens.created FROM access_tokens JOIN users ON users.id = user_id "
            "WHERE kind = 'token' AND (? = '' OR name = ?) ORDER BY access_tokens.created"
        )

        def read(connection: SqlConnection) -> Sequence[TokenRow]:
            return [TokenRow(digest[:ID_LENGTH], *rest) for digest, *rest in connection.execute(query, (name, name))]

        return await self._database.read(read)

    async def revoke(self, id: str) -> None:
        """Remove a token and the sessions that were opened with it. Raises UsageError."""
        if len(id) < ID_LENGTH or not await self._database.write(lambda connection: _revoke(connection, id)):
            raise UsageError(f"there is no token {id[:60]!r}", "`ml-intern server tokens list` lists them")

    async def end_session(self, secret: str) -> None:
        """Remove the session of a browser."""
        statement = "DELETE FROM access_tokens WHERE digest = ? AND kind = 'session'"
        await self._database.write(lambda connection: connection.execute(statement, (digest_of(secret),)).rowcount)

    async def _insert(self, token: str, user_id: str, kind: TokenKind, label: str, parent: str, expires: float) -> None:
        statement = (
            "INSERT INTO access_tokens (digest, user_id, kind, label, parent, created, expires) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        values = (digest_of(token), user_id, kind, label, parent, time.time(), expires)
        await self._database.write(lambda connection: connection.execute(statement, values).rowcount)


def _revoke(connection: SqlConnection, id: str) -> int:
    query = "SELECT digest FROM access_tokens WHERE kind = 'token' AND substr(digest, 1, ?) = ?"
    found = connection.execute(query, (len(id), id)).fetchall()
    for (digest,) in found:
        connection.execute("DELETE FROM access_tokens WHERE digest = ? OR parent = ?", (digest, digest))
    return len(found)


def _user(id: str, name: str, admin: int, created: float) -> User:
    return User(id, name, bool(admin), created)
