"""The set-up of the first start: an API key, a login or a local server, tested before it is saved. Ctrl-C leaves."""

import asyncio
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ml_intern.commands.options import Options
from ml_intern.commands.setup.probe import first_word
from ml_intern.configs.errors import ConfigurationError, KeyMissing, MLInternError, ModelUnknown, TemporaryError
from ml_intern.configs.providers import HUB, LOCAL_SERVERS, MODEL_PROVIDERS
from ml_intern.configs.user_files import change_user_settings, keys_file, mark_asked, save_key, settings_path, was_asked
from ml_intern.models.routing import checked_key, checked_url, find_route, hub_token
from ml_intern.models.secrets import register_secrets
from ml_intern.session.opening.model import FIRST_MODELS, choose_model, endpoint_of
from ml_intern.session.opening.options import load_settings, working_folder
from ml_intern.session.opening.store import open_store
from ml_intern.terminal.questions import Questions, SetupCancelled

if TYPE_CHECKING:
    from collections.abc import Callable

HUB_QUESTION = "hub-token"
HUB_MODEL = HUB.first_model
OWN_ADDRESS = LOCAL_SERVERS["vllm"].base_envs[0]
"""The variable for the address of a server at a custom address; its models are vllm/NAME."""


def set_up(options: Options, missing: KeyMissing, asks: Questions) -> Options | None:
    """Ask how to connect a model until one answers. Return the options with it, or None for the demo.

    Raises:
        KeyMissing: `missing`, when the user leaves.
    """
    asks.line(f"{missing.message}. How do you want to connect a model?", "bold")
    ways: list[tuple[str, str, Callable[[], str]]] = [
        (_provider(model), f"API key ({name})", partial(_take_key, asks, name, model))
        for name, model in _wanted(options).items()
    ]
    ways += [
        (HUB.title, "log in with the browser or a token; one login for many models", partial(_log_in, asks)),
        ("Local server", f"{', '.join(LOCAL_SERVERS)}, or any address", partial(_find_server, asks)),
        ("Demo", "a real run with a scripted model", str),
    ]
    try:
        while (place := asks.choose([way[:2] for way in ways], "which one (number; Enter leaves)? ")) is not None:
            if place == len(ways) - 1:
                return None
            if model := ways[place][2]():
                return replace(options, model=model)
    except SetupCancelled:
        asks.line("set-up cancelled; nothing else was saved", "dim")
    raise missing


def offer_hub_login(options: Options, asks: Questions) -> None:
    """Offer the Hub login once, when a model can be called but no Hub token is set."""
    if options.ephemeral or was_asked(HUB_QUESTION) or not _can_call_a_model(options) or hub_token(os.environ):
        return
    asks.line(
        "Without a Hugging Face token the agent sees only public repositories on the Hub and cannot run jobs there."
    )
    try:
        if asks.yes("log in now, with the browser or a token? (asked only once)"):
            _logged_in(asks)
    except SetupCancelled:
        asks.line("not now", "dim")
    mark_asked(HUB_QUESTION)


def _can_call_a_model(options: Options) -> bool:
    """Return whether a run would find a model other than a script, which needs no Hub."""
    try:
        model, _ = choose_model(load_settings(options.request(), working_folder(options.request())), options.base_url)
        return find_route(model, os.environ, endpoint_of(options.request(), model)).provider != "scripted"
    except MLInternError:
        return False


def _wanted(options: Options) -> dict[str, str]:
    """Map each key variable to the model that tests it, the provider of the requested model first."""
    asked = options.model or ""
    provider = MODEL_PROVIDERS.get(asked.partition("/")[0])
    first = {provider.key_envs[0]: asked} if provider and not provider.ambient else {}
    known = {name: model for name, model in FIRST_MODELS.items() if model != HUB_MODEL and name not in first}
    return first | known


def _provider(model: str) -> str:
    return MODEL_PROVIDERS[model.partition("/")[0]].title


def _take_key(asks: Questions, name: str, model: str) -> str:
    """Ask for a key, test it, offer to save it. Return the model it was tested with, or "" to go back."""
    while key := asks.ask(f"{name} (hidden; Enter goes back): ", hidden=True):
        before = os.environ.get(name)
        os.environ[name] = key
        register_secrets()
        try:
            os.environ[name] = checked_key(os.environ, name) or ""
        except ConfigurationError as error:
            asks.line(error.message, "failure")
        else:
            if _answers(asks, model):
                _offer_to_save(asks, name, os.environ[name])
                return _recommended(asks, model)
        os.environ.pop(name)
        os.environ.update({name: before} if before else {})
    return ""


def _recommended(asks: Questions, model: str) -> str:
    """Let the user choose between the provider's recommended models, and save a choice other than the default."""
    from ml_intern.models.catalog.lifecycle import recommended
    from ml_intern.models.catalog.prices import rates_of

    choices = recommended(model.partition("/")[0])
    if model not in choices or len(choices) < 2:
        return model
    rows = [(id, f"{kind}, {rates_of(id)}") for id, kind in zip(choices, ("strong", "cheap"), strict=True)]
    place = asks.choose(rows, f"which model (number; Enter keeps {model})? ")
    chosen = model if place is None else choices[place]
    if chosen != model and asks.yes(f"make it the default model, in {settings_path()}?"):
        change_user_settings(lambda values: values.update(model_name=chosen))
    return chosen


def _answers(asks: Questions, model: str) -> bool:
    """Return whether the model answers, or the user accepts it although it cannot be tested now."""
    asks.line(f"testing {model} ...", "dim")
    try:
        asks.line(f"it answered {asyncio.run(first_word(model))}", "success")
    except ModelUnknown as error:
        asks.line(str(error), "warning")
        return asks.yes("the key works; use it, and choose another model later?")
    except TemporaryError as error:
        asks.line(f"test failed: {error.message}", "warning")
        return asks.yes("use it without a test?")
    except MLInternError as error:
        asks.line(error.message, "failure")
        return False
    return True


def _offer_to_save(asks: Questions, name: str, value: str) -> None:
    if asks.yes(f"save it in {keys_file()}, readable only by you?"):
        save_key(name, value)
        asks.line(f"saved; {name} in the environment takes precedence", "dim")
    else:
        asks.line(f"used for this session only; set {name} in the environment or .env for later ones", "dim")


def _log_in(asks: Questions) -> str:
    return HUB_MODEL if _logged_in(asks) and _answers(asks, HUB_MODEL) else ""


def _logged_in(asks: Questions) -> bool:
    """Log in to the Hugging Face Hub with huggingface_hub, which asks for, checks and saves the token.

    Raises:
        SetupCancelled: the user cancelled the login.
    """
    from huggingface_hub import login
    from huggingface_hub.errors import DeviceCodeError, HfHubHTTPError

    try:
        asks.hand_over(partial(login, skip_if_logged_in=False))
    except (DeviceCodeError, HfHubHTTPError, ValueError, OSError) as error:
        asks.line(f"the login failed: {' '.join(str(error).split())[:300]}", "failure")
        return False
    register_secrets()
    return hub_token(os.environ) is not None


def _find_server(asks: Questions) -> str:
    """Let the user choose a model of a running local server, or of one at an address. Return "" to go back."""
    ids = asyncio.run(_local_models())
    if not ids:
        asks.line("no local server found at the default addresses", "warning")
        ids = _at_address(asks)
    place = asks.choose([(id, "") for id in ids], "which model (number; Enter goes back)? ") if ids else None
    if place is None or not _answers(asks, ids[place]):
        return ""
    if asks.yes(f"make it the default model, in {settings_path()}?"):
        change_user_settings(lambda values: values.update(model_name=ids[place]))
        if os.environ.get(OWN_ADDRESS):
            save_key(OWN_ADDRESS, os.environ[OWN_ADDRESS])
    return ids[place]


def _at_address(asks: Questions) -> list[str]:
    while address := asks.ask("its address, such as http://127.0.0.1:8000/v1 (Enter goes back): "):
        try:
            os.environ[OWN_ADDRESS] = checked_url(address, "the address")
        except ConfigurationError as error:
            asks.line(str(error), "failure")
            continue
        if ids := asyncio.run(_local_models()):
            return ids
        if name := asks.ask("it lists no models; name of the model to use (Enter goes back): "):
            return [f"vllm/{name}"]
        os.environ.pop(OWN_ADDRESS)
    return []


async def _local_models() -> list[str]:
    from ml_intern.models.catalog.describe import available, ways
    from ml_intern.models.gateway import Models

    local = [way for way in ways(os.environ) if way.prefix in LOCAL_SERVERS]
    async with open_store(ephemeral=True) as store:
        models = Models(store.ledger)
        try:
            return [one.model for one in (await available(models, local)).models]
        finally:
            await models.close()
