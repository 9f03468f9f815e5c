"""Which values of this process are secrets: its environment's, the stored token of the Hub, a workspace's .env."""

import os
from pathlib import Path


def register_secrets(workspace: Path | None = None) -> None:
    """Make redaction know them."""
    from ml_intern.safety.secrets.redaction import add_known_secrets

    add_known_secrets(known_secrets(workspace))


def known_secrets(workspace: Path | None = None) -> dict[str, str]:
    """The secrets by the name of their variable."""
    from ml_intern.configs.env import read_env_files
    from ml_intern.models.routing import hub_token
    from ml_intern.safety.secrets.known import environment_secrets

    token = hub_token(os.environ)
    own = environment_secrets(os.environ) | ({"HF_TOKEN": token} if token else {})
    folders = environment_secrets(read_env_files([workspace])) if workspace is not None else {}
    return {**folders, **own}
