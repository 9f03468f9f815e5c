"""The collection of a thread on the Hub, which gathers the repositories that the thread creates or writes to."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.context import HUB_COLLECTION
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_identity import token_owner
from ml_intern.tools.hub.repo_args import HubReposArgs

if TYPE_CHECKING:
    from huggingface_hub import CollectionItem, HfApi

SECONDS = 20.0
"""Time limit for an addition."""
_PUBLISHING = frozenset({"create", "upload", "card", "duplicate"})
_UNEXPECTED_REPLY = (KeyError, TypeError, ValueError, AttributeError)


def publishes(args: Mapping[str, Any]) -> bool:
    """Return whether a call of hub_repos creates a repository or commits to one. A pull request does not."""
    return args.get("operation") in _PUBLISHING and not args.get("create_pr")


async def gather(result: ToolResult | str, args: HubReposArgs, context: ToolContext) -> ToolResult:
    """Add the repository of a successful call to the thread's collection if the user chose that, and report it."""
    done = result if isinstance(result, ToolResult) else ToolResult(result)
    chosen = context.options.hub_collection
    if chosen or (chosen is None and context.collection == "yes"):
        return replace(done, text=f"{done.text}\n{await _add(args, context)}")
    if chosen is None and not context.collection and not context.options.asks_about_collection:
        line = f"not added to a collection (the setting {HUB_COLLECTION} must be true)"
        return replace(done, text=f"{done.text}\n{line}", state={**(done.state or {}), "collection": "off"})
    return done


async def _add(args: HubReposArgs, context: ToolContext) -> str:
    """Add the repository to the collection. Return one line, also when the Hub refuses or does not answer."""
    repo = args.to if args.operation == "duplicate" else args.repo
    title = f"ml-intern {context.root_id}"
    try:
        owner = await token_owner(context)
        return await call_hub(
            lambda api: _add_item(api, repo, args.type, owner, title), "the thread's collection", seconds=SECONDS
        )
    except ToolError as error:
        return f"{args.type} {repo} was not added to the thread's collection: {error}"
    except _UNEXPECTED_REPLY as error:
        why = f"the Hub's reply was not understood ({type(error).__name__})"
        return f"{args.type} {repo} was not added to the thread's collection: {why}"


def _add_item(api: "HfApi", repo: str, repo_type: Any, owner: str, title: str) -> str:
    """Add a repository to the collection with this title. Both steps may be repeated.

    The collection becomes private before a private repository is added.
    """
    private = not _is_public(api, repo, repo_type)
    about = "Repositories of a thread of ml-intern"
    found = api.create_collection(title, namespace=owner, description=about, private=private, exists_ok=True)
    if private and not found.private:
        api.update_collection_metadata(found.slug, private=True)
    found = api.add_collection_item(found.slug, repo, repo_type, exists_ok=True)
    if not private and found.private and all(_is_public_item(api, item) for item in found.items):
        api.update_collection_metadata(found.slug, private=False)
        return f"added to the collection {found.url} (public)"
    return f"added to the collection {found.url} ({'private' if private or found.private else 'public'})"


def _is_public_item(api: "HfApi", item: "CollectionItem") -> bool:
    if item.item_type in ("model", "dataset", "space"):
        return _is_public(api, item.item_id, item.item_type)
    return item.item_type == "paper"


def _is_public(api: "HfApi", repo: str, repo_type: str) -> bool:
    """Return whether a repository exists and is public."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return not api.repo_info(repo, repo_type=repo_type).private
    except RepositoryNotFoundError:
        return False
