"""Which model a run uses: the one asked for, else the first that there is a key for."""

import os
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ConfigurationError, KeyMissing, UsageError
from ml_intern.configs.layers import SHIPPED_SOURCE, Loaded
from ml_intern.configs.providers import HUB, first_models

if TYPE_CHECKING:
    from ml_intern.models.routing import Endpoint
    from ml_intern.session.opening.request import SessionRequest
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow

FIRST_MODELS = first_models()
"""The model to use for each key variable when settings name none, best first."""

NO_MODEL = KeyMissing(
    "no model to work with: no key is set",
    "set ANTHROPIC_API_KEY, OPENAI_API_KEY, another provider's key or HF_TOKEN, here or in .env; "
    "or name a local server: -m ollama/NAME, or -m NAME --base-url URL; or try `ml-intern demo`, which needs none",
)


async def model_of(store: "Store", row: "ThreadRow") -> str:
    """The model a thread, or the one it was forked from, was run with last; empty when neither was."""
    return await store.ledger.last_model(row.id) or await store.ledger.last_model(row.parent or "")


def keep_model(kept: str, loaded: Loaded, request: "SessionRequest") -> tuple[str, str]:
    """The model a thread ran with while it can be called, else as for a new thread; and a note, or "".

    Raises what `choose_model` does.
    """
    from ml_intern.models.routing import find_route

    if not kept or request.model is not None:
        return choose_model(loaded, request.base_url)
    try:
        find_route(kept, os.environ, endpoint_of(request, kept))
    except ConfigurationError as error:
        model, _ = choose_model(loaded, request.base_url)
        return model, f"the thread ran with {kept}, which cannot be called now: {error.message}; {model} is used"
    return kept, ""


def endpoint_of(request: "SessionRequest", model: str) -> "Endpoint | None":
    """What --base-url says, for the model it was given with."""
    from ml_intern.models.routing import Endpoint

    if request.base_url is None:
        return None
    return Endpoint(request.base_url, request.api_key_env or Endpoint.key_env, model)


def choose_model(loaded: Loaded, base_url: str | None) -> tuple[str, str]:
    """The model id, and a note when it is not the one in the settings ("" otherwise).

    Raises:
        UsageError: an endpoint was given, but no model it should be asked for.
        KeyMissing: nothing was named and there is no key at all.
    """
    named = loaded.settings.model_name
    if loaded.sources.get("model_name") != SHIPPED_SOURCE:
        return named, ""
    if base_url:
        raise UsageError("--base-url needs the name of a model there", "add -m NAME")
    held = next((name for name in FIRST_MODELS if _is_set(name)), None)
    if held is None:
        raise NO_MODEL
    model = FIRST_MODELS[held]
    return model, "" if model == named else f"no model is named; {held} is set, so {model} is used (-m chooses another)"


def _is_set(name: str) -> bool:
    from ml_intern.models.routing import hub_token

    return bool(hub_token(os.environ) if name in HUB.key_envs else os.environ.get(name))
