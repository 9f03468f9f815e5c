"""The user's Hub token and the account it belongs to."""

from ml_intern.execution.tool import ToolContext
from ml_intern.net.blocking import run_in_thread
from ml_intern.net.hub import SECONDS, call_hub, hub_access_token


async def get_hub_token() -> str:
    """Return the user's Hub token, or "". Raises ToolError when it cannot be renewed in time."""
    return await run_in_thread(hub_access_token, seconds=SECONDS, what="the login at the Hub")


async def token_owner(context: ToolContext) -> str:
    """Return the namespace of the token's owner, or "" without a token. The Hub is asked once.

    Raises:
        ToolError: the Hub rejects the token or does not answer.
    """
    known = context.services.account
    if not known.name and await get_hub_token():
        account = await call_hub(lambda api: api.whoami(), "the account")
        known.name = str(account["name"])
    return known.name
