"""The hub_search tool: finds models, datasets, spaces, collections, and models served by inference providers."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolResult
from ml_intern.execution.provenance import untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.models.catalog.endpoint import CatalogEntry, read_catalogue
from ml_intern.models.catalog.prices import Price
from ml_intern.models.routing import HUB_ROUTER
from ml_intern.net.hub import call_hub
from ml_intern.net.service import open_service
from ml_intern.text.formatting import count, day, listed, plural

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["models", "datasets", "spaces", "collections", "served_models"]
Sort = Literal["trending", "downloads", "likes", "created", "updated"]
_SORTS = {"trending": "trending_score", "created": "created_at", "updated": "last_modified"}
_COLLECTION_SORTS = {"likes": "upvotes", "updated": "lastModified"}
_MAX_TAGS = 12
_UNINTERESTING_TAGS = (
    "region:",
    "endpoints_compatible",
    "text-generation-inference",
    "autotrain_compatible",
    "format:",
)


class HubSearchArgs(ToolArgs):
    """The arguments of hub_search."""

    kind: Kind = Field(description="The kind of result. served_models: models callable through inference providers.")
    query: str = Field("", max_length=200, description="Words in the name; for spaces also the topic.")
    author: str = Field("", max_length=100, description="Only from this user or organisation.")
    filters: list[str] = Field(
        default_factory=list,
        max_length=10,
        description="Tags that must all match: text-classification, license:mit, language:de, dataset:org/name, "
        "arxiv:2305.18290, base_model:finetune:org/name, size_categories:10K<n<100K ...",
    )
    item: str = Field(
        "", max_length=200, description="collections: only those that contain models/org/name, datasets/..., papers/ID."
    )
    sort: Sort = Field("trending", description="The sort order, best first.")
    limit: int = Field(10, ge=1, le=100, description="The maximum number of results.")


@tool(read_only=True)
async def hub_search(args: HubSearchArgs, _: ToolContext) -> ToolResult:
    """Search the Hugging Face Hub for models, datasets, spaces and collections, best first, with details of each.

    A matching name does not prove quality: check downloads, licence and card (hub_repos, operation read) before you
    choose. Inspect a dataset with datasets, operation inspect. Do not replace a model or dataset that the user named
    with another one.
    """
    return await run_search(args)


async def run_search(args: HubSearchArgs) -> ToolResult:
    """Run a search and return one or two lines per result."""
    if args.kind == "served_models":
        lines = await served_models(args.query, args.author, args.limit)
    else:
        lines = await call_hub(lambda api: _SEARCHES[args.kind](api, args), f"the search for {args.kind}")
    if not lines:
        return ToolResult(f"no {args.kind.replace('_', ' ')} found; use fewer words or filters")
    more = [f"[only the first {args.limit}; there may be more]"] if len(lines) == args.limit else []
    return untrusted_result("\n".join([*lines, *more]), f"{hub_url()}/{args.kind}")


def _models(api: "HfApi", args: HubSearchArgs) -> list[str]:
    found = api.list_models(
        search=args.query or None, author=args.author or None, filter=args.filters or None,
        sort=_sort(args.sort), limit=args.limit, full=True,
    )  # fmt: skip
    return [_line(one) for one in islice(found, args.limit)]


def _datasets(api: "HfApi", args: HubSearchArgs) -> list[str]:
    found = api.list_datasets(
        search=args.query or None, author=args.author or None, filter=args.filters or None,
        sort=_sort(args.sort), limit=args.limit, full=True,
    )  # fmt: skip
    return [_line(one) for one in islice(found, args.limit)]


def _spaces(api: "HfApi", args: HubSearchArgs) -> list[str]:
    """Search by meaning when only a query is given, otherwise by name."""
    if args.query and not args.author:
        by_meaning: Iterable[Any] = api.search_spaces(args.query, filter=args.filters or None)
        if lines := [_space_line(one) for one in islice(by_meaning, args.limit)]:
            return lines
    sort = "likes" if args.sort == "downloads" else args.sort
    by_name = api.list_spaces(
        search=args.query or None, author=args.author or None, filter=args.filters or None,
        sort=_sort(sort), limit=args.limit, full=True,
    )  # fmt: skip
    return [_line(one) for one in islice(by_name, args.limit)]


def _collections(api: "HfApi", args: HubSearchArgs) -> list[str]:
    sort: Any = _COLLECTION_SORTS.get(args.sort, "trending")
    found = api.list_collections(owner=args.author or None, item=args.item or None, sort=sort, limit=args.limit)
    wanted = args.query.lower().split()
    fitting = (one for one in found if all(word in one.title.lower() for word in wanted))
    return [_collection_line(one) for one in islice(fitting, args.limit)]


_SEARCHES: dict[str, Callable[["HfApi", HubSearchArgs], list[str]]] = {
    "models": _models,
    "datasets": _datasets,
    "spaces": _spaces,
    "collections": _collections,
}


def _sort(sort: str) -> Any:
    return _SORTS.get(sort, sort)


def _line(found: Any) -> str:
    """Format a repository with the facts that help to choose."""
    facts = [
        getattr(found, "pipeline_tag", None) or getattr(found, "sdk", None),
        _counted(getattr(found, "downloads", None), "downloads in 30 days"),
        _counted(found.likes, "likes"),
        f"gated ({found.gated})" if found.gated else "",
        "private" if found.private else "",
        f"updated {day(found.last_modified)}" if found.last_modified else "",
    ]
    return f"{found.id} · {' · '.join(filter(None, facts))}{_tags(found)}"


def _counted(number: int | None, what: str) -> str:
    return "" if number is None else f"{count(number)} {what}"


def _tags(found: Any) -> str:
    shown = {getattr(found, "pipeline_tag", None), getattr(found, "sdk", None)}
    tags = [tag for tag in found.tags or [] if tag not in shown and not tag.startswith(_UNINTERESTING_TAGS)]
    return f"\n  {listed(tags, _MAX_TAGS)}" if tags else ""


def _space_line(found: Any) -> str:
    about = getattr(found, "ai_short_description", None) or getattr(found, "short_description", None) or ""
    facts = [found.sdk, _counted(found.likes, "likes"), getattr(found, "title", "") or "", about]
    return f"{found.id} · {' · '.join(filter(None, facts))}"


def _collection_line(found: Any) -> str:
    items: Sequence[Any] = found.items
    by_name = ", ".join(f"{one.item_type} {one.item_id}" for one in items[:8])
    return f"{found.slug} · {found.title} · {plural(found.upvotes, 'upvote')}\n  {by_name}"


_PER_MILLION = 1_000_000


async def served_models(query: str, author: str, limit: int) -> list[str]:
    """List served models: name, context window, providers with prices per million tokens. Raises ToolError."""
    async with open_service("the Hub's router", os.environ.get("ML_INTERN_ROUTER_URL") or HUB_ROUTER) as router:
        answer = await router.get_json("/models")
    offers = read_catalogue(answer)
    wanted = query.lower().split()
    found = [
        offer
        for name, offer in offers.items()
        if all(word in name.lower() for word in wanted)
        and (not author or name.lower().startswith(f"{author.lower()}/"))
    ]
    return [_served_line(offer, _live(answer, offer.id)) for offer in found[:limit]]


def _served_line(offer: CatalogEntry, providers: list[str]) -> str:
    window = [f"window {count(offer.window)} tokens"] if offer.window else []
    served = [f"{name}{_price(offer.prices.get(name))}" for name in providers]
    return f"{offer.id} · {' · '.join([*window, *served]) or 'no live provider'}"


def _price(price: Price | None) -> str:
    if price is None:
        return ""
    rates = price.tiers[-1]
    return f" ({rates.input * _PER_MILLION:.3g} in, {rates.output * _PER_MILLION:.3g} out)"


def _live(answer: Any, id: str) -> list[str]:
    offer: Mapping[str, Any] = next((one for one in answer["data"] if one.get("id") == id), {})
    listed = [one for one in offer.get("providers") or [] if isinstance(one, Mapping)]
    return [str(one.get("provider")) for one in listed if one.get("status", "live") == "live"]
