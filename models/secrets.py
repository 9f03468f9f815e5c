"""The secrets of this process: those of its environment, the stored Hub token, and a workspace's .env file."""

import os
from pathlib import Path


def register_secrets(workspace: Path | None = None) -> None:
    """Register the secrets for redaction."""
    from ml_intern.safety.secrets.redaction import add_known_secrets

    add_known_secrets(known_secrets(workspace))


def known_secrets(workspace: Path | None = None) -> dict[str, str]:
    """Return the secrets by variable name."""
    from ml_intern.configs.env import read_env_files
    from ml_intern.models.routing import hub_token
    from ml_intern.safety.secrets.known import environment_secrets

    token = hub_token(os.environ)
    own = environment_secrets(os.environ) | ({"HF_TOKEN": token} if token else {})
    folders = environment_secrets(read_env_files([workspace])) if workspace is not None else {}
    return {**folders, **own}
