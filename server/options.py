"""The options of a graph server: those of `ml-intern studio`, else the settings for servers.

Nothing here imports langgraph.
"""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from ml_intern.configs.layers import FRONTEND, load
from ml_intern.configs.mcp_servers import McpServer
from ml_intern.graph.context import RunOptions
from ml_intern.session.opening.model import Endpoint
from ml_intern.session.opening.options import choose_sandbox, from_settings

VARIABLE = "ML_INTERN_STUDIO"
"""The environment variable that passes the options of `ml-intern studio` to the server."""
OVERWRITTEN = ("DATABASE_URI", "REDIS_URI", "MIGRATIONS_PATH", "N_JOBS_PER_WORKER", "ALLOW_PRIVATE_NETWORK")
"""Variables with common names that the server sets for itself. Tool commands get the caller's values."""


@dataclass(frozen=True)
class ServedOptions:
    """The default options of a server's runs, and the endpoint of its models."""

    run: RunOptions
    endpoint: Endpoint | None = None
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    """The caller's values of OVERWRITTEN."""
    servers: Mapping[str, McpServer] = field(default_factory=dict[str, McpServer])
    """The MCP servers of the settings."""
    token_digest: str = ""
    """The digest of the token that requests need; empty lets the server make a token."""
    attended: bool = False
    """Whether stdin is a pipe from `ml-intern studio`. The server ends when that process closes it or dies."""

    @classmethod
    def read(cls) -> Self:
        """Read the options from the environment, else from the settings of the current folder.

        Raises:
            ConfigurationError: a settings file is not valid.
        """
        if passed := os.environ.get(VARIABLE):
            return TypeAdapter(cls).validate_json(passed)
        settings = load(Path.cwd(), defaults=FRONTEND).settings
        sandbox = choose_sandbox(settings.sandbox, [str(Path.cwd())])
        run = sandbox.applied_to(from_settings(settings, Path.cwd()))
        run = replace(run, notes=tuple(filter(None, [sandbox.note])))
        return cls(run, servers=settings.mcpServers)

    def as_text(self) -> str:
        """Return the options in the form that `read` reads from the environment."""
        return TypeAdapter(type(self)).dump_json(self).decode()

    def restore_environment(self, environ: MutableMapping[str, str]) -> None:
        """Restore the caller's variables, after the server has read its own."""
        environ.pop(VARIABLE, None)
        for name in OVERWRITTEN:
            environ.pop(name, None)
        environ.update(self.environ)
