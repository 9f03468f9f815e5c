"""The set-up of a first start: a key, a login or a server of one's own, tried before it is kept. Ctrl-C leaves it."""

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
from ml_intern.terminal.questions import SetupCancelled, ask, choose, yes
from ml_intern.terminal.screen import Screen, open_console

if TYPE_CHECKING:
    from collections.abc import Callable

HUB_QUESTION = "hub-token"
HUB_MODEL = HUB.first_model
OWN_ADDRESS = LOCAL_SERVERS["vllm"].base_envs[0]
"""Where the address of a server at an unusual place goes; its models are vllm/NAME."""


def set_up(options: Options, missing: KeyMissing) -> Options | int:
    """Ask how to reach a model until one answers: the options with it. Or the exit code of the demo.

    Raises the KeyMissing it was begun for when the user leaves.
    """
    screen = Screen(open_console())
    screen.line(f"{missing.message}. How should a model be reached?", "bold")
    ways: list[tuple[str, str, Callable[[], str]]] = [
        (_provider(model), f"a key of its own ({name})", partial(_take_key, screen, name, model))
        for name, model in _wanted(options).items()
    ]
    ways += [
        (HUB.title, "log in with the browser or a token; its router has many models", partial(_log_in, screen)),
        ("A server of your own", f"{', '.join(LOCAL_SERVERS)}, or any address", partial(_find_server, screen)),
        ("A demo", "a real run with a scripted model", str),
    ]
    try:
        while (place := choose(screen, [way[:2] for way in ways], "which one (a number; empty leaves)? ")) is not None:
            if place == len(ways) - 1:
                return _demo()
            if model := ways[place][2]():
                return replace(options, model=model)
    except SetupCancelled:
        screen.line("left; nothing more was kept", "dim")
    raise missing


def offer_hub_login(options: Options) -> None:
    """Ask once for a login at the Hub, where none is known and a model can be called already."""
    if options.ephemeral or was_asked(HUB_QUESTION) or not _can_call_a_model(options) or hub_token(os.environ):
        return
    screen = Screen(open_console())
    screen.line("Without a Hugging Face token the agent sees only what is public on the Hub, and runs no jobs there.")
    try:
        if yes("log in now, with the browser or a token? (this is asked once)"):
            _logged_in(screen)
    except SetupCancelled:
        screen.line("not now", "dim")
    mark_asked(HUB_QUESTION)


def _can_call_a_model(options: Options) -> bool:
    """Whether a run would find a model. A script needs no Hub."""
    try:
        model, _ = choose_model(load_settings(options.request(), working_folder(options.request())), options.base_url)
        return find_route(model, os.environ, endpoint_of(options.request(), model)).provider != "scripted"
    except MLInternError:
        return False


def _demo() -> int:
    from ml_intern.commands.setup.demo import DEFAULT_SEED, run_demo

    return run_demo(Options(), DEFAULT_SEED, None)


def _wanted(options: Options) -> dict[str, str]:
    """Variables of keys and the model each is tried with; that of a model that was asked for comes first."""
    asked = options.model or ""
    provider = MODEL_PROVIDERS.get(asked.partition("/")[0])
    first = {provider.key_envs[0]: asked} if provider and not provider.ambient else {}
    known = {name: model for name, model in FIRST_MODELS.items() if model != HUB_MODEL and name not in first}
    return first | known


def _provider(model: str) -> str:
    return MODEL_PROVIDERS[model.partition("/")[0]].title


def _take_key(screen: Screen, name: str, model: str) -> str:
    """Take a key, try it, keep it where the user wants; the model it is for, or "" to go back."""
    while key := ask(f"{name} (hidden; empty goes back): ", hidden=True):
        before = os.environ.get(name)
        os.environ[name] = key
        register_secrets()
        try:
            os.environ[name] = checked_key(os.environ, name) or ""
        except ConfigurationError as error:
            screen.line(error.message, "red")
        else:
            if _answers(screen, model):
                _keep(screen, name, os.environ[name])
                return model
        os.environ.pop(name)
        os.environ.update({name: before} if before else {})
    return ""


def _answers(screen: Screen, model: str) -> bool:
    """Whether the model answers, or could not be asked just now and is taken all the same."""
    screen.line(f"asking {model} for one word ...", "dim")
    try:
        screen.line(f"it answers {asyncio.run(first_word(model))}", "green")
    except ModelUnknown as error:
        screen.line(str(error), "yellow")
        return yes("the key is good; take it, and name another model later?")
    except TemporaryError as error:
        screen.line(f"it could not be tried: {error.message}", "yellow")
        return yes("take it untried?")
    except MLInternError as error:
        screen.line(error.message, "red")
        return False
    return True


def _keep(screen: Screen, name: str, value: str) -> None:
    if yes(f"keep it in {keys_file()}, readable for you alone?"):
        save_key(name, value)
        screen.line(f"kept; a {name} in the environment wins over it", "dim")
    else:
        screen.line(f"it is used now and then forgotten: later starts want {name} in the environment or .env", "dim")


def _log_in(screen: Screen) -> str:
    return HUB_MODEL if _logged_in(screen) and _answers(screen, HUB_MODEL) else ""


def _logged_in(screen: Screen) -> bool:
    """Log in to the Hugging Face Hub with its own library, which asks for, checks and saves the token.

    Raises:
        SetupCancelled: the user gave no token.
    """
    from huggingface_hub import login
    from huggingface_hub.errors import DeviceCodeError, HfHubHTTPError

    try:
        login(skip_if_logged_in=False)
    except (KeyboardInterrupt, EOFError) as error:
        raise SetupCancelled from error
    except (DeviceCodeError, HfHubHTTPError, ValueError, OSError) as error:
        screen.line(f"the login failed: {' '.join(str(error).split())[:300]}", "red")
        return False
    register_secrets()
    return hub_token(os.environ) is not None


def _find_server(screen: Screen) -> str:
    """Find the models of servers that run, or of one at an address; the one that is chosen, or "" to go back."""
    ids = asyncio.run(_local_models())
    if not ids:
        screen.line("no server answers at the usual places", "yellow")
        ids = _at_address(screen)
    place = choose(screen, [(id, "") for id in ids], "which model (a number; empty goes back)? ") if ids else None
    if place is None or not _answers(screen, ids[place]):
        return ""
    if yes(f"make it the model of later starts, in {settings_path()}?"):
        change_user_settings(lambda values: values.update(model_name=ids[place]))
        if os.environ.get(OWN_ADDRESS):
            save_key(OWN_ADDRESS, os.environ[OWN_ADDRESS])
    return ids[place]


def _at_address(screen: Screen) -> list[str]:
    while address := ask("its address, such as http://127.0.0.1:8000/v1 (empty goes back): "):
        try:
            os.environ[OWN_ADDRESS] = checked_url(address, "the address")
        except ConfigurationError as error:
            screen.line(str(error), "red")
            continue
        if ids := asyncio.run(_local_models()):
            return ids
        if name := ask("it lists no models; the name of the one to use (empty goes back): "):
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
            return [one.model for one in await available(models, local)]
        finally:
            await models.close()
