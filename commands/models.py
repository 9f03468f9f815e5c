"""`models`: the providers, the models that can be called now, and the details of one model."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.options import SETTINGS_OPTIONS, Options, takes_options
from ml_intern.commands.output import Json, columns, fitted_columns, print_json, print_lines
from ml_intern.configs.errors import ConfigurationError, MLInternError
from ml_intern.models.secrets import register_secrets
from ml_intern.session.opening.model import choose_model, endpoint_of
from ml_intern.session.opening.options import load_settings, working_folder
from ml_intern.session.opening.store import open_store
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_intern.models.catalog.describe import Described, ModelListing, Way
    from ml_intern.models.catalog.prices import Price, Rates

MILLION = 1_000_000
Id = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="model id; with --available, text that ids must contain")
]
Available = Annotated[bool, typer.Option("--available", help="list the models that can be called now")]


@takes_options("base_url", "api_key_env", *SETTINGS_OPTIONS)
def show_models(
    options: Options,
    id: Id = None,
    available: Available = False,
    json: Json = False,
) -> int:
    """List providers or available models, or show one model's route, key, context window, price and capabilities."""
    loaded = load_settings(options.request(), working_folder(options.request()))
    register_secrets()
    if available:
        return _show_available(asyncio.run(_available(options, loaded.settings.named_prices, id or "")), json=json)
    if id is not None:
        return _show_one(asyncio.run(_described(options, loaded.settings.named_prices, id)), json=json)
    try:
        chosen, note = choose_model(loaded, options.base_url)
    except MLInternError as error:
        chosen, note = "", str(error)
    return _show_ways(chosen, note, json=json)


async def _described(options: Options, prices: Mapping[str, Any], id: str) -> "Described":
    from ml_intern.models.catalog.describe import describe
    from ml_intern.models.gateway import Models, ModelSettings

    async with open_store(ephemeral=True) as store:
        models = Models(store.ledger, endpoint_of(options.request(), id), settings=ModelSettings(prices))
        try:
            return await describe(models, id)
        finally:
            await models.close()


async def _available(options: Options, prices: Mapping[str, Any], words: str) -> "ModelListing":
    from ml_intern.models.catalog.describe import available, ways
    from ml_intern.models.gateway import Models, ModelSettings

    async with open_store(ephemeral=True) as store:
        models = Models(store.ledger, endpoint_of(options.request(), "any"), settings=ModelSettings(prices))
        try:
            return await available(models, ways(os.environ), words)
        finally:
            await models.close()


def _show_ways(chosen: str, note: str, *, json: bool) -> int:
    from ml_intern.models.catalog.describe import ways

    found = sorted(ways(os.environ), key=lambda way: not way.key)
    if json:
        return print_json({"model": chosen or None, "note": note, "ways": [asdict(way) for way in found]})
    rows = [("IDS", "ROUTE", "KEY"), *((_ids(way.prefix), way.how, _key_state(way)) for way in found)]
    used = f"selected model: {chosen or 'none'}{f' ({note})' if note else ''}"
    offered = [line for way in found if way.key for line in _offered(way)]
    return print_lines(
        [*columns(rows), *offered, used, "`ml-intern models --available` lists the models that can be called now"]
    )


def _offered(way: "Way") -> "Iterator[str]":
    """Iterate over lines about the recommended models of a provider."""
    from ml_intern.models.catalog.prices import rates_of

    for kind, id in (("strong", way.strong), ("cheap", way.cheap)):
        if id:
            yield f"{kind} model: {id} ({rates_of(id)})"


def _ids(prefix: str) -> str:
    from ml_intern.models.routing import HUB_PREFIX

    return "org/model[:provider]" if prefix == HUB_PREFIX else f"{prefix}/..."


def _key_state(way: "Way") -> str:
    if way.key:
        return f"{way.key} is set"
    return f"{way.keys[0]} is not set" if way.keys else "not needed"


def _show_available(found: "ModelListing", *, json: bool) -> int:
    for problem in found.problems:
        print(f"ml-intern: {visible(problem)}", file=sys.stderr)
    if json:
        print_json([_as_json(one) for one in found.models])
    elif found.models:
        head = ("MODEL", "WINDOW", "IN / OUT PER MILLION", "TOOLS", "IMAGES", "EFFORT")
        print_lines(fitted_columns([head, *map(_row, found.models)], ("EFFORT", "IMAGES", "TOOLS")))
    elif not found.problems:
        print_lines(["no model can be called: `ml-intern models` shows which keys are missing"])
    return ConfigurationError.exit_code if found.problems and not found.models else 0


def _row(one: "Described") -> tuple[str, ...]:
    able = one.abilities
    price = "free" if one.free else str(one.price.tiers[-1]) if one.price else "unknown"
    return (one.model, _count(one.window), price, _tools(able.tools), _can(able.images), _can(able.effort))


def _show_one(one: "Described", *, json: bool) -> int:
    if json:
        print_json(_as_json(one))
    else:
        print_lines(columns(_rows(one)))
    if one.problem:
        raise one.problem
    return 0


def _rows(one: "Described") -> list[tuple[str, str]]:
    able = one.abilities
    rows = [
        ("model", one.model),
        ("route", one.route),
        ("retired", f"{one.retired.day}: {one.retired.remedy}" if one.retired else ""),
        ("key", one.key or ("missing" if one.problem else "not needed")),
        ("context window", f"{_count(one.window)} tokens" if one.window else "unknown"),
        ("maximum reply", f"{_count(one.longest_output)} tokens" if one.longest_output else ""),
        *(("price", line) for line in _price_lines(one)),
        ("tools", _tools(able.tools)),
        ("images", _can(able.images)),
        ("effort", _can(able.effort)),
    ]
    return [(name, value) for name, value in rows if value]


def _price_lines(one: "Described") -> list[str]:
    if one.free or one.price is None:
        return ["free" if one.free else "unknown"]
    return [_rates_line(rates) for rates in reversed(one.price.tiers)]


def _rates_line(rates: "Rates") -> str:
    more = [
        f"{name} ${rate * MILLION:g}"
        for name, rate in (("cached", rates.cache_read), ("cache write", rates.cache_write))
        if rate is not None
    ]
    above = f"above {rates.above:,} tokens: " if rates.above else ""
    return f"{above}{rates} per million tokens{' (' + ', '.join(more) + ')' if more else ''}"


def _tools(able: bool | None) -> str:  # noqa: FBT001 - a fact, not an option
    return "by text" if able is False else _can(able)


def _can(able: bool | None) -> str:  # noqa: FBT001 - a fact, not an option
    return {None: "unknown", True: "yes", False: "no"}[able]


def _count(number: int | None) -> str:
    return f"{number:,}" if number else "unknown"


def _as_json(one: "Described") -> dict[str, Any]:
    return {
        "model": one.model,
        "route": one.route,
        "key": one.key,
        "window": one.window,
        "longest_output": one.longest_output,
        "free": one.free,
        "price_per_million": _price_json(one.price),
        **asdict(one.abilities),
        "fault": str(one.problem) if one.problem else None,
        "retired": str(one.retired.day) if one.retired else None,
        "successor": one.retired.successor if one.retired else None,
    }


def _price_json(price: "Price | None") -> list[dict[str, float | int | None]] | None:
    if price is None:
        return None
    return [
        {
            name: value if name == "above" or value is None else round(value * MILLION, 6)
            for name, value in asdict(rates).items()
        }
        for rates in reversed(price.tiers)
    ]
