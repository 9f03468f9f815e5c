"""The routes of a team's server for its people: who has access to a thread, a user's own keys, and the sign-out."""

import asyncio

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ml_intern.server.web.access import Policy, cookie_of, remove_cookie
from ml_intern.server.web.callers import caller_of
from ml_intern.server.web.requests import NotVisible, answer_json, get, json_body, post, text_field
from ml_intern.server.web.watching.live import partial
from ml_intern.session.team.people import People
from ml_intern.session.team.sealing import seal

ACCESS = "/api/threads/{id}/access"
KEYS = "/api/keys"
LOGOUT = "/logout"
SIGNED_OUT = (
    '<main id="main"><h1>Signed out</h1><p class="plain">Open the server with your token to sign in again.</p></main>'
)


def people_routes(people: People, policy: Policy) -> list[Route]:
    """Return the routes."""

    async def sign_out(request: Request) -> Response:
        """End the session of the browser that sent this. Tokens stay: `ml-intern server tokens remove` ends them."""
        await people.users.end_session(cookie_of(policy, dict(request.scope["headers"])))
        await people.audit.add(caller_of(request).name, "sign out")
        response = HTMLResponse(partial("body", SIGNED_OUT))
        remove_cookie(response, policy)
        return response

    async def show(request: Request) -> Response:
        """Return who has access to a thread: {name: level}."""
        return JSONResponse(dict(await people.sharing.people(request.path_params["id"])))

    async def share(request: Request) -> Response:
        """Share a thread: {"user", "can"}. Return who has access."""
        body, thread = await json_body(request), request.path_params["id"]
        await people.grant(thread, text_field(body, "user"), text_field(body, "can"))
        return JSONResponse(dict(await people.sharing.people(thread)))

    async def names(request: Request) -> Response:
        """Return the names of the user's own keys."""
        return JSONResponse(list(await people.keys.names(_owner(request))))

    async def set_key(request: Request) -> Response:
        """Set a key of the user, {"name", "value"}, or remove it if the value is empty. Return the names."""
        body, user = await json_body(request), _owner(request)
        name, value = text_field(body, "name"), text_field(body, "value")
        if value:
            await people.keys.set(user, name, await asyncio.to_thread(seal, user, name, value))
        else:
            await people.keys.remove(user, name)
        await people.audit.add(caller_of(request).name, "set key" if value else "remove key", detail=name)
        return JSONResponse(list(await people.keys.names(user)))

    return [
        get(KEYS, names, answer_json),
        post(KEYS, set_key, answer_json),
        get(ACCESS, show, answer_json),
        post(ACCESS, share, answer_json),
        post(LOGOUT, sign_out),
    ]


def _owner(request: Request) -> str:
    """Return the id of the user. Raises NotVisible for the operator, who has none."""
    if not (user := caller_of(request).user):
        raise NotVisible("the operator has no keys here", "set them in the environment of the workers")
    return user
