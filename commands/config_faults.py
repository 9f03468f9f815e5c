"""Faults of a settings file that the settings' own model cannot tell: rules about calls, and ids of models."""

from collections.abc import Iterator, Mapping
from typing import Any

from configs.check import Found
from configs.errors import ConfigurationError, ModelUnknown

MODELS = ("model_name", "compact_model", "research_model", "fallback_model")


def further_faults(values: Mapping[str, Any]) -> Iterator[Found]:
    """What is wrong with the rules of a file; and, as warnings, its models that no provider is known for."""
    yield from _rules(values.get("permissions"))
    yield from _models(values)


def _rules(permissions: object) -> Iterator[Found]:
    from safety.rule_settings import parse_rules
    from safety.rules import EFFECTS

    known = permissions if isinstance(permissions, dict) else {}
    for effect in EFFECTS:
        written = known.get(effect)
        for index, rule in enumerate(written if isinstance(written, list) else []):
            try:
                parse_rules({effect: [rule]}, "settings")
            except ConfigurationError as error:
                said = error.message.removeprefix(f"settings: permissions.{effect}[0] ")
                yield ("permissions", effect, index), said, False


def _models(values: Mapping[str, Any]) -> Iterator[Found]:
    from models.routing import find_route

    for key in MODELS:
        model = values.get(key)
        try:
            find_route(model if isinstance(model, str) and model else "scripted:none", {})
        except ModelUnknown as error:
            yield (key,), f"{error.message}; it is good for --base-url alone", True
        except ConfigurationError:  # its key or address, which the environment says
            continue
