"""Descriptions of model ids: route, key variable, context window, price, capabilities. No model is called."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from ml_intern.configs.errors import KeyMissing
from ml_intern.configs.providers import HUB, LOCAL_SERVERS, MODEL_PROVIDERS
from ml_intern.models.catalog.abilities import UNKNOWN, Abilities
from ml_intern.models.catalog.lifecycle import Retirement, retirement_of
from ml_intern.models.catalog.prices import FREE, Entry, Price, entries_of, entry_of
from ml_intern.models.gateway import Models
from ml_intern.models.routing import HUB_PREFIX, first_set, hub_token, server_address


@dataclass(frozen=True)
class Described:
    """The details of a model id; None is unknown."""

    model: str
    route: str
    key: str | None
    """The variable of its key; None: it needs none."""
    window: int | None = None
    """Tokens."""
    longest_output: int | None = None
    price: Price | None = None
    free: bool = False
    abilities: Abilities = UNKNOWN
    problem: KeyMissing | None = None
    """Why it cannot be called."""
    retired: Retirement | None = None
    """Its retirement, if its provider no longer serves it."""


@dataclass(frozen=True)
class Way:
    """A prefix of model ids and how its models are reached."""

    prefix: str
    how: str
    keys: tuple[str, ...]
    """The variables that may have the key; empty where none is needed."""
    key: str | None
    """The variable that has it."""
    strong: str = ""
    """The recommended model for hard tasks."""
    cheap: str = ""
    """The recommended model for the lowest cost."""


async def describe(models: Models, model: str) -> Described:
    """Describe a model id with the help of its endpoint. Raises ModelUnknown for an id without a route."""
    try:
        route = models.route(model)
    except KeyMissing as error:
        return _of_table(model, entry_of(model), "none", None, error)
    await models.known.offers(route)
    price = await models.known.price(route)
    return Described(
        model,
        route.note,
        route.key_used,
        models.known.window(route),
        models.known.longest_output(route),
        price,
        price == FREE,
        models.known.abilities(route),
        retired=next(iter(models.retired([model], date.today())), None),
    )


async def available(models: Models, among: Iterable[Way], words: str = "") -> list[Described]:
    """List the models that can be called with the available keys and running servers, filtered by `words` in the id."""
    found: list[Described] = []
    if models.endpoint:
        offers = await models.known.offers(models.route(models.endpoint.model))
        found += [await describe(models, id) for id in sorted(filter(None, offers)) if _matches(id, words)]
    for way in among:
        if way.prefix in MODEL_PROVIDERS and way.key is not None:
            table = sorted(entries_of(way.prefix).items())
            found += [_of_table(id, entry, way.how, way.key) for id, entry in table if _matches(id, words)]
        elif way.prefix in LOCAL_SERVERS or way.key is not None:
            found += [await describe(models, id) for id in await _offered(models, way) if _matches(id, words)]
    return found


def ways(environ: Mapping[str, str]) -> Iterator[Way]:
    """Iterate over all prefixes of model ids."""
    for prefix, provider in MODEL_PROVIDERS.items():
        how = "your own server" if provider.self_hosted else "the provider's API"
        key = first_set(provider.key_envs, environ)
        yield Way(prefix, how, provider.key_envs, key, provider.strong_model, provider.cheap_model)
    yield Way(HUB_PREFIX, "the Hugging Face router", HUB.key_envs, HUB.key_envs[0] if hub_token(environ) else None)
    for prefix, server in LOCAL_SERVERS.items():
        yield Way(prefix, f"the local server {server_address(server, environ)}", (), None)


async def _offered(models: Models, way: Way) -> list[str]:
    route = models.route(f"{way.prefix}/any")
    names = sorted(filter(None, await models.known.offers(route)))
    return names if way.prefix == HUB_PREFIX else [f"{way.prefix}/{name}" for name in names]


def _of_table(id: str, entry: Entry, how: str, key: str | None, problem: KeyMissing | None = None) -> Described:
    return Described(
        id,
        how,
        key,
        entry.window,
        entry.longest_output,
        entry.price,
        abilities=entry.abilities,
        problem=problem,
        retired=retirement_of(id, date.today()),
    )


def _matches(id: str, words: str) -> bool:
    return words.lower() in id.lower()
