"""What a model can do beside writing text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Abilities:
    """None is unknown: it is tried, and what the provider rejects is left out from then on."""

    tools: bool | None = None
    """It can call tools."""
    images: bool | None = None
    """It sees images."""
    effort: bool | None = None
    """It takes a reasoning effort."""


UNKNOWN = Abilities()
