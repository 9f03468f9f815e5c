"""Descriptions of model ids: route, key variable, context window, price, capabilities. No model is called."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from ml_intern.configs.errors import KeyMissing, MLInternError
from ml_intern.configs.providers import HUB, LOCAL_SERVERS, MODEL_PROVIDERS
from ml_intern.models.catalog.abilities import UNKNOWN, Abilities
from ml_intern.models.catalog.lifecycle import Retirement, retirement_of
from ml_intern.models.catalog.prices import FREE, Entry, Price, entries_of, entry_of
from ml_intern.models.errors import Retryable
from ml_intern.models.gateway import Models
from ml_intern.models.routing import HUB_PREFIX, first_set, hub_token, server_address

_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")


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
    is_named: bool = False
    """Whether the user named the address of this local server, or the key of this router."""


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


@dataclass(frozen=True)
class ModelListing:
    """The models that can be called now, and one line for each provider that did not list its models."""

    models: list[Described]
    problems: list[str]


async def available(models: Models, among: Iterable[Way], words: str = "") -> ModelListing:
    """List the models that can chat and call tools now, filtered by `words` in the id.

    Each provider whose key is set and each running server is asked for its models.
    """
    own = [_at_endpoint(models, models.endpoint.model, words)] if models.endpoint else []
    asked = await asyncio.gather(*own, *(_of_way(models, way, words) for way in among))
    return ModelListing(
        [one for part in asked for one in part.models], [one for part in asked for one in part.problems]
    )


async def _at_endpoint(models: Models, model: str, words: str) -> ModelListing:
    route = models.route(model)
    offers = await models.known.offers(route)
    found = [await describe(models, id) for id in sorted(filter(None, offers)) if _matches(id, words)]
    return ModelListing(found, [] if offers else [await models.why_unlisted(route) or _no_list(route.where)])


async def _of_way(models: Models, way: Way, words: str) -> ModelListing:
    if way.prefix in MODEL_PROVIDERS:
        return await _of_provider(models, way, words) if way.key is not None else ModelListing([], [])
    if way.prefix not in LOCAL_SERVERS and way.key is None:
        return ModelListing([], [])
    names = await _offered(models, way)
    found = [await describe(models, id) for id in names if _matches(id, words)]
    problem = "" if names or not way.is_named else await models.why_unlisted(models.route(f"{way.prefix}/any"))
    return ModelListing(
        _calling(found) if way.prefix == HUB_PREFIX else found, [f"{way.prefix}: {problem}"] if problem else []
    )


async def _of_provider(models: Models, way: Way, words: str) -> ModelListing:
    """List the tool-calling models of a provider's table that it serves now. Without a list, those of the table."""
    try:
        listed = await models.listed_by(way.prefix)
    except (Retryable, MLInternError) as error:
        return ModelListing([], [f"{way.prefix}: {error}"])
    table = {id: entry for id, entry in sorted(entries_of(way.prefix).items()) if _matches(id, words)}
    names = None if listed is None else {name.removeprefix("models/") for name in listed}
    served = {id: one for id, one in table.items() if names is None or id.partition("/")[2] in names}
    found = [_of_table(id, entry, way.how, way.key) for id, entry in served.items() if entry.abilities.tools]
    return ModelListing([one for one in found if not one.retired and not _has_alias(one.model, served)], [])


def _calling(found: Iterable[Described]) -> list[Described]:
    return [one for one in found if one.abilities.tools is not False]


def _has_alias(id: str, served: Mapping[str, Entry]) -> bool:
    """Return whether an id is the dated version of another one in the list."""
    alias = _DATE.sub("", id)
    return alias != id and alias in served


def _no_list(where: str) -> str:
    return f"{where} does not list its models"


def ways(environ: Mapping[str, str]) -> Iterator[Way]:
    """Iterate over all prefixes of model ids."""
    for prefix, provider in MODEL_PROVIDERS.items():
        how = "your own server" if provider.self_hosted else "the provider's API"
        key = first_set(provider.key_envs, environ)
        yield Way(prefix, how, provider.key_envs, key, provider.strong_model, provider.cheap_model)
    yield Way(
        HUB_PREFIX,
        "the Hugging Face router",
        HUB.key_envs,
        HUB.key_envs[0] if hub_token(environ) else None,
        is_named=True,
    )
    for prefix, server in LOCAL_SERVERS.items():
        address = server_address(server, environ)
        yield Way(
            prefix, f"the local server {address}", (), None, is_named=first_set(server.base_envs, environ) is not None
        )


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
