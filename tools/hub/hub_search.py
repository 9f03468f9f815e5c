"""The hub_search tool: models, datasets, spaces, collections, and the models that inference providers serve."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from configs.hosts import hub_url
from tools.base import ToolArgs, ToolContext, ToolResult, tool
from tools.hub.figures import count, day
from tools.hub.served import served_models
from tools.net.hub import ask_hub
from tools.provenance import outside

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["models", "datasets", "spaces", "collections", "served_models"]
Sort = Literal["trending", "downloads", "likes", "created", "updated"]
_SORTS = {"trending": "trending_score", "created": "created_at", "updated": "last_modified"}
_COLLECTION_SORTS = {"likes": "upvotes", "updated": "lastModified"}
_MOST_TAGS = 12
_DULL_TAGS = ("region:", "endpoints_compatible", "text-generation-inference", "autotrain_compatible", "format:")


class HubSearchArgs(ToolArgs):
    """What hub_search takes."""

    kind: Kind = Field(description="What to look for. served_models: what can be called through inference providers.")
    query: str = Field("", max_length=200, description="Words in the name; for spaces also what it is about.")
    author: str = Field("", max_length=100, description="Only of this user or organisation.")
    filters: list[str] = Field(
        default_factory=list,
        max_length=10,
        description="Tags that all must hold: text-classification, license:mit, language:de, dataset:org/name, "
        "arxiv:2305.18290, base_model:finetune:org/name, size_categories:10K<n<100K ...",
    )
    item: str = Field("", max_length=200, description="Of collections: models/org/name, datasets/..., papers/ID in it.")
    sort: Sort = Field("trending", description="Best first by this.")
    limit: int = Field(10, ge=1, le=100, description="How many at most.")


@tool(read_only=True)
async def hub_search(args: HubSearchArgs, _: ToolContext) -> ToolResult:
    """Search the Hugging Face Hub for models, datasets, spaces and collections, best first, with what is known of each.

    A name that matches is no proof of quality: look at downloads, licence and card (hub_repos, operation read) before
    you choose. For a dataset look into it with datasets, operation inspect. Do not swap a model or dataset that the
    user named for another one.
    """
    return await searched(args)


async def searched(args: HubSearchArgs) -> ToolResult:
    """What the search finds, a line or two for each."""
    if args.kind == "served_models":
        lines = await served_models(args.query, args.author, args.limit)
    else:
        lines = await ask_hub(lambda api: _SEARCHES[args.kind](api, args), f"the {args.kind} asked for")
    if not lines:
        return ToolResult(f"no {args.kind.replace('_', ' ')} found; use fewer words or filters")
    more = [f"[the first {args.limit}; there may be more]"] if len(lines) == args.limit else []
    return outside("\n".join([*lines, *more]), f"{hub_url()}/{args.kind}")


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
    """By meaning where there is a query alone, else by name."""
    if args.query and not args.author:
        meant: Iterable[Any] = api.search_spaces(args.query, filter=args.filters or None)
        if lines := [_space_line(one) for one in islice(meant, args.limit)]:
            return lines
    sort = "likes" if args.sort == "downloads" else args.sort
    named = api.list_spaces(
        search=args.query or None, author=args.author or None, filter=args.filters or None,
        sort=_sort(sort), limit=args.limit, full=True,
    )  # fmt: skip
    return [_line(one) for one in islice(named, args.limit)]


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
    """A repository with what helps to choose."""
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
    tags = [tag for tag in found.tags or [] if tag not in shown and not tag.startswith(_DULL_TAGS)]
    more = f" and {len(tags) - _MOST_TAGS} more" if len(tags) > _MOST_TAGS else ""
    return f"\n  {', '.join(tags[:_MOST_TAGS])}{more}" if tags else ""


def _space_line(found: Any) -> str:
    about = getattr(found, "ai_short_description", None) or getattr(found, "short_description", None) or ""
    facts = [found.sdk, _counted(found.likes, "likes"), getattr(found, "title", "") or "", about]
    return f"{found.id} · {' · '.join(filter(None, facts))}"


def _collection_line(found: Any) -> str:
    items: Sequence[Any] = found.items
    named = ", ".join(f"{one.item_type} {one.item_id}" for one in items[:8])
    return f"{found.slug} · {found.title} · {found.upvotes} upvotes\n  {named}"
