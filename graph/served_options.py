"""What a server of the graph runs with: what `ml-intern studio` was told, else the settings for servers.

Nothing here imports langgraph.
"""

import json
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from configs.layers import FRONTEND, load
from graph.context import RunOptions

VARIABLE = "ML_INTERN_STUDIO"
"""The environment variable in which `ml-intern studio` tells the server what it was told."""
OVERWRITTEN = ("DATABASE_URI", "REDIS_URI", "MIGRATIONS_PATH", "N_JOBS_PER_WORKER", "ALLOW_PRIVATE_NETWORK")
"""Variables with everyday names that the server sets for itself; the commands of tools get the caller's."""
BUDGET_USD = 5.0
"""Where a run of a server that was told nothing asks first whether to go on."""


@dataclass(frozen=True)
class ServedOptions:
    """The options of every run of a server, and where its models are."""

    run: RunOptions
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    """The caller's values of OVERWRITTEN."""

    @classmethod
    def read(cls) -> Self:
        """What the environment says, else what the settings say for the current folder.

        Raises:
            ConfigurationError: a settings file that cannot be used.
        """
        if told := os.environ.get(VARIABLE):
            return TypeAdapter(cls).validate_json(told)
        settings = load(Path.cwd(), defaults=FRONTEND).settings
        return cls(
            RunOptions(
                model=settings.model_name,
                workspace=str(Path.cwd()),
                approval_mode="yolo" if settings.yolo_mode else "ask",
                max_iterations=settings.max_iterations,
                max_budget_usd=BUDGET_USD,
                effort=settings.reasoning_effort,
                compact_model=settings.compact_model,
                research_model=settings.research_model,
                model_params=settings.model_params,
            )
        )

    def as_text(self) -> str:
        """What `read` reads."""
        return json.dumps(asdict(self))

    def give_back(self, environ: MutableMapping[str, str]) -> None:
        """Put the caller's values back, once the server has read its own."""
        environ.pop(VARIABLE, None)
        for name in OVERWRITTEN:
            environ.pop(name, None)
        environ.update(self.environ)
