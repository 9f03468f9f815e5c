"""Whose token it is."""

from ml_intern.execution.tool import ToolContext
from ml_intern.net.blocking import in_thread
from ml_intern.net.hub import SECONDS, ask_hub, hub_access_token


async def hub_login() -> str:
    """The token to the Hub; empty when there is none. Raises ToolError when it cannot be renewed in time."""
    return await in_thread(hub_access_token, seconds=SECONDS, what="the login at the Hub")


async def owner_of(context: ToolContext) -> str:
    """The namespace of the token's owner, asked once; empty without a token.

    Raises:
        ToolError: the Hub does not accept the token, or does not answer.
    """
    if not context.services.owner and await hub_login():
        account = await ask_hub(lambda api: api.whoami(), "the account")
        context.services.owner = str(account["name"])
    return context.services.owner
