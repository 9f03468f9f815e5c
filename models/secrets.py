"""Which values of this process are secrets: its environment's, the stored token of the Hub, a workspace's .env."""

import os
from pathlib import Path


def hold_secrets(workspace: Path | None = None) -> None:
    """Make redaction know them."""
    from configs.env import read_env_files
    from models.routing import hub_token
    from safety.held import secrets_of_environment
    from safety.redaction import hold, hold_environment

    hold_environment()
    if token := hub_token(os.environ):
        hold({"HF_TOKEN": token})
    if workspace is not None:
        hold(secrets_of_environment(read_env_files([workspace])))
