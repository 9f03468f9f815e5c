"""Choose the model of a run: the requested one, else the first whose API key is set."""

import os
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ConfigurationError, KeyMissing, UsageError
from ml_intern.configs.layers import SHIPPED_SOURCE, Loaded
from ml_intern.configs.providers import HUB, first_models
from ml_intern.models.routing import Endpoint as Endpoint

if TYPE_CHECKING:
    from ml_intern.session.opening.request import SessionRequest
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow

FIRST_MODELS = first_models()
"""The default model of each key variable, in order of preference."""

NO_MODEL = KeyMissing(
    "no model configured: no API key is set",
    "set ANTHROPIC_API_KEY, OPENAI_API_KEY, another provider's key or HF_TOKEN (environment or .env), "
    "use a local server (-m ollama/NAME, or -m NAME --base-url URL), or run `ml-intern demo`, which needs no key",
)


async def model_of(store: "Store", row: "ThreadRow") -> str:
    """Return the last model of a thread or of its parent thread; "" if there is none."""
    return await store.ledger.last_model(row.id) or await store.ledger.last_model(row.parent or "")


def continued_model(last: str, loaded: Loaded, request: "SessionRequest") -> tuple[str, str]:
    """Return the thread's last model if it can be called, else the model of a new thread; and a note or "".

    Raises the same errors as `choose_model`.
    """
    from ml_intern.models.routing import find_route

    if not last or request.model is not None:
        return choose_model(loaded, request.base_url)
    try:
        find_route(last, os.environ, endpoint_of(request, last))
    except ConfigurationError as error:
        model, _ = choose_model(loaded, request.base_url)
        return model, f"using {model}: the thread's last model {last} is unavailable ({error.message})"
    return last, ""


def endpoint_of(request: "SessionRequest", model: str) -> "Endpoint | None":
    """Return the endpoint given by --base-url, which applies only to the model given with it."""
    from ml_intern.models.routing import Endpoint

    if request.base_url is None:
        return None
    return Endpoint(request.base_url, request.api_key_env or Endpoint.key_env, model)


def choose_model(loaded: Loaded, base_url: str | None) -> tuple[str, str]:
    """Return the model id, and a note if it is not the one in the settings ("" otherwise).

    Raises:
        UsageError: an endpoint was given without a model.
        KeyMissing: no model was given and no API key is set.
    """
    named = loaded.settings.model_name
    if loaded.sources.get("model_name") != SHIPPED_SOURCE:
        return named, ""
    if base_url:
        raise UsageError("--base-url needs a model name", "add -m NAME")
    key = next((name for name in FIRST_MODELS if _is_set(name)), None)
    if key is None:
        raise NO_MODEL
    model = FIRST_MODELS[key]
    return model, "" if model == named else f"using {model} because {key} is set (choose another with -m)"


def _is_set(name: str) -> bool:
    from ml_intern.models.routing import hub_token

    return bool(hub_token(os.environ) if name in HUB.key_envs else os.environ.get(name))
