"""Which values of this process are secrets: its environment's, and the stored token of the Hub."""

import os


def hold_secrets() -> None:
    """Make redaction know them."""
    from models.routing import hub_token
    from safety.redaction import hold, hold_environment

    hold_environment()
    if token := hub_token(os.environ):
        hold({"HF_TOKEN": token})
