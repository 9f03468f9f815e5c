"""Details that local servers report about their models beside /models, each in its own format.

llama.cpp: tools/server/README.md, GET /props. Ollama: docs/api.md, GET /api/ps. LM Studio: REST API v1, GET /models.
vLLM: its OpenAI-compatible server, GET /version. A server that answers there is one of these and costs nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ml_intern.models.catalog.abilities import UNKNOWN, Abilities, flag

EVERY = ""
"""Instead of a name: every model of the server."""


@dataclass(frozen=True)
class ReportedModel:
    """A server's report on a model; None where it reports nothing."""

    window: int | None = None
    """Tokens of the loaded model, usually fewer than it was trained for."""
    abilities: Abilities = UNKNOWN


@dataclass(frozen=True)
class Dialect:
    """How a kind of server is recognised and queried."""

    owner: str
    """Its value of `owned_by` in /models."""
    path: str
    """The path of its report, from the root of the server."""
    read: Callable[[Any], dict[str, ReportedModel]]
    recognises: Callable[[Any], bool]
    """Whether an answer at `path` has the form of this kind of server."""
    needs_owner: bool = False
    """The form is not specific enough: the server must also be named in /models."""


def _llamacpp(answer: Any) -> dict[str, ReportedModel]:
    settings, modalities, caps = (
        _mapping(_mapping(answer).get(key))
        for key in ("default_generation_settings", "modalities", "chat_template_caps")
    )
    calls = [caps[key] for key in ("supports_tools", "supports_tool_calls") if isinstance(caps.get(key), bool)]
    return {
        EVERY: ReportedModel(
            _count(settings.get("n_ctx")), Abilities(any(calls) if calls else None, flag(modalities, "vision"))
        )
    }


def _vllm(_: Any) -> dict[str, ReportedModel]:
    return {}


def _is_llamacpp(answer: Any) -> bool:
    return isinstance(_mapping(answer).get("default_generation_settings"), Mapping)


def _is_ollama(answer: Any) -> bool:
    listed = _mapping(answer).get("models")
    return isinstance(listed, list) and all(isinstance(_mapping(one).get("model"), str) for one in listed)


def _is_lm_studio(answer: Any) -> bool:
    listed = _mapping(answer).get("models")
    return (
        isinstance(listed, list) and bool(listed) and all(isinstance(_mapping(one).get("key"), str) for one in listed)
    )


def _is_vllm(answer: Any) -> bool:
    return isinstance(_mapping(answer).get("version"), str)


def _ollama(answer: Any) -> dict[str, ReportedModel]:
    found = {}
    for one in _entries(answer):
        found[str(one.get("model") or one.get("name"))] = ReportedModel(_count(one.get("context_length")))
    return found


def _lm_studio(answer: Any) -> dict[str, ReportedModel]:
    found = {}
    for one in _entries(answer):
        loaded = [_mapping(_mapping(each).get("config")) for each in one.get("loaded_instances") or ()]
        windows = [window for each in loaded if (window := _count(each.get("context_length")))]
        seeing = Abilities(images=flag(_mapping(one.get("capabilities")), "vision"))
        found[str(one.get("key"))] = ReportedModel(min(windows, default=None), seeing)
    return found


DIALECTS: dict[str, Dialect] = {
    "llamacpp": Dialect("llamacpp", "/props", _llamacpp, _is_llamacpp),
    "ollama": Dialect("library", "/api/ps", _ollama, _is_ollama),
    "lm_studio": Dialect("organization_owner", "/api/v1/models", _lm_studio, _is_lm_studio),
    "vllm": Dialect("vllm", "/version", _vllm, _is_vllm, needs_owner=True),
}
"""Dialects by the prefix of model ids."""


def server_named(provider: str, catalogue: Any) -> str:
    """Return the kind of server that its prefix or its /models response names, or ""."""
    if provider in DIALECTS:
        return provider
    owners = {one.get("owned_by") for one in _entries({"models": _mapping(catalogue).get("data")})}
    return next((name for name, dialect in DIALECTS.items() if dialect.owner in owners), "")


def _entries(answer: Any) -> Iterator[Mapping[str, Any]]:
    listed = _mapping(answer).get("models")
    return (one for one in listed if isinstance(one, Mapping)) if isinstance(listed, list) else iter(())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
