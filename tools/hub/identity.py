"""Whose token it is."""

import os

from models.routing import hub_token
from tools.base import ToolContext
from tools.net.hub import ask_hub


def has_token() -> bool:
    """Whether there is a token to write with."""
    return bool(hub_token(os.environ))


async def owner_of(context: ToolContext) -> str:
    """The namespace of the token's owner, asked once; empty without a token.

    Raises:
        ToolFault: the Hub does not accept the token, or does not answer.
    """
    if not context.services.owner and has_token():
        account = await ask_hub(lambda api: api.whoami(), "the account")
        context.services.owner = str(account["name"])
    return context.services.owner
