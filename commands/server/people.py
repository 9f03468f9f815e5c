"""`server users` and `server tokens`: who may use a team's server."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ml_intern.commands.output import Json, fitted_columns, local_time, print_json, print_lines
from ml_intern.commands.server.opened import COMMAND_LINE, needed, team_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_intern.store.team.people.users import TokenRow, User

UserAction = Literal["add", "list", "remove"]
TokenAction = Literal["add", "list", "remove"]


def users(
    action: Annotated[UserAction, typer.Argument(metavar="add|list|remove")],
    name: Annotated[str, typer.Argument(metavar="[NAME]")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="may see all threads and do everything")] = False,
    json: Json = False,
) -> int:
    """Add a user and show the first token, list the users, or remove one with all tokens, keys and shares."""
    if action == "list":
        return _print_users(asyncio.run(_users()), as_json=json)
    name = needed(name, "the name of the user", f"ml-intern server users {action} NAME")
    if action == "remove":
        asyncio.run(_remove_user(name))
        return print_lines([f"removed {name}; the threads stay, for admins only"])
    token = asyncio.run(_add_user(name, admin=admin))
    if json:
        return print_json({"name": name, "admin": admin, "token": token})
    return print_lines([f"added {name}; the token is shown only now:", token])


def tokens(
    action: Annotated[TokenAction, typer.Argument(metavar="add|list|remove")],
    name: Annotated[str, typer.Argument(metavar="[NAME|ID]", help="a user; for remove, the id of a token")] = "",
    label: Annotated[str, typer.Option("--label", metavar="TEXT", help="what the token is for")] = "",
    json: Json = False,
) -> int:
    """Add a token of a user, list the tokens, or remove one. Browsers that signed in with it are signed out."""
    if action == "list":
        return _print_tokens(asyncio.run(_tokens(name)), as_json=json)
    if action == "remove":
        asyncio.run(_revoke(needed(name, "the id of the token", "ml-intern server tokens list")))
        return print_lines([f"removed token {name}"])
    token = asyncio.run(_add_token(needed(name, "the name of the user", "ml-intern server tokens add NAME"), label))
    if json:
        return print_json({"name": name, "label": label, "token": token})
    return print_lines([f"added a token of {name}; it is shown only now:", token])


async def _add_user(name: str, *, admin: bool) -> str:
    async with team_store() as store:
        user = await store.users.add(name, admin=admin)
        await store.audit.add(COMMAND_LINE, "add admin" if admin else "add user", detail=name)
        return await store.users.add_token(user, "first")


async def _users() -> "Sequence[User]":
    async with team_store() as store:
        return await store.users.list()


async def _remove_user(name: str) -> None:
    async with team_store() as store:
        await store.users.remove(name)
        await store.audit.add(COMMAND_LINE, "remove user", detail=name)


async def _add_token(name: str, label: str) -> str:
    async with team_store() as store:
        token = await store.users.add_token(await store.users.find(name), label)
        await store.audit.add(COMMAND_LINE, "add token", detail=f"{name} {label}".strip())
        return token


async def _tokens(name: str) -> "Sequence[TokenRow]":
    async with team_store() as store:
        if name:
            await store.users.find(name)
        return await store.users.tokens(name)


async def _revoke(id: str) -> None:
    async with team_store() as store:
        await store.users.revoke(id)
        await store.audit.add(COMMAND_LINE, "remove token", detail=id)


def _print_users(found: "Sequence[User]", *, as_json: bool) -> int:
    if as_json:
        return print_json([{"name": one.name, "admin": one.admin, "created": one.created} for one in found])
    if not found:
        return print_lines(["no users; add one with: ml-intern server users add NAME"])
    rows = [(one.name, "admin" if one.admin else "user", local_time(one.created)) for one in found]
    return print_lines(fitted_columns([("NAME", "ROLE", "ADDED"), *rows]))


def _print_tokens(found: "Sequence[TokenRow]", *, as_json: bool) -> int:
    if as_json:
        return print_json([vars(one) for one in found])
    if not found:
        return print_lines(["no tokens"])
    rows = [(one.id, one.user, one.label, local_time(one.created)) for one in found]
    return print_lines(fitted_columns([("ID", "USER", "LABEL", "ADDED"), *rows]))
