"""What a server of the graph runs with: what `ml-intern studio` was told, else the settings for servers.

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
from ml_intern.models.routing import Endpoint
from ml_intern.session.opening.options import choose_sandbox, from_settings

VARIABLE = "ML_INTERN_STUDIO"
"""The environment variable in which `ml-intern studio` tells the server what it was told."""
OVERWRITTEN = ("DATABASE_URI", "REDIS_URI", "MIGRATIONS_PATH", "N_JOBS_PER_WORKER", "ALLOW_PRIVATE_NETWORK")
"""Variables with everyday names that the server sets for itself; the commands of tools get the caller's."""


@dataclass(frozen=True)
class ServedOptions:
    """The options of every run of a server, and where its models are."""

    run: RunOptions
    endpoint: Endpoint | None = None
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    """The caller's values of OVERWRITTEN."""
    servers: Mapping[str, McpServer] = field(default_factory=dict[str, McpServer])
    """The MCP servers of the settings."""
    attended: bool = False
    """Its stdin is a pipe from `ml-intern studio`: when that is gone, however it went, the server ends."""

    @classmethod
    def read(cls) -> Self:
        """What the environment says, else what the settings say for the current folder.

        Raises:
            ConfigurationError: a settings file that cannot be used.
        """
        if told := os.environ.get(VARIABLE):
            return TypeAdapter(cls).validate_json(told)
        settings = load(Path.cwd(), defaults=FRONTEND).settings
        sandbox, note = choose_sandbox(settings.sandbox, [str(Path.cwd())])
        run = replace(from_settings(settings, Path.cwd()), sandbox=sandbox, notes=tuple(filter(None, [note])))
        return cls(run, servers=settings.mcpServers)

    def as_text(self) -> str:
        """What `read` reads."""
        return TypeAdapter(type(self)).dump_json(self).decode()

    def give_back(self, environ: MutableMapping[str, str]) -> None:
        """Put the caller's values back, once the server has read its own."""
        environ.pop(VARIABLE, None)
        for name in OVERWRITTEN:
            environ.pop(name, None)
        environ.update(self.environ)
