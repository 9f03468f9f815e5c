"""What a call of hub_repos reaches: which repositories it writes to, whether anybody sees it, whether it stays."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_identity import get_hub_token, token_owner
from ml_intern.net.service import NotFound
from ml_intern.tools.hub.repo_args import full_name

if TYPE_CHECKING:
    from huggingface_hub import HfApi

READING = frozenset(
    {"account", "info", "list", "read", "diff", "refs", "commits", "discussions", "discussion", "runtime", "logs"}
)
_LOCAL = frozenset({"download"})
_FINAL = frozenset({"delete_repo", "delete_branch", "move"})


def only_reads(args: Mapping[str, Any]) -> bool:
    """Whether an operation changes nothing, here or on the Hub."""
    return args.get("operation") in READING


async def repo_effects(args: Mapping[str, Any], context: ToolContext) -> ExternalEffects:
    """The reach of a call. Without a token nothing can be written: the call itself says so.

    Raises:
        ToolError: the Hub does not tell what has to be known.
    """
    operation = args.get("operation", "")
    if only_reads(args) or operation in _LOCAL or not await get_hub_token():
        return NO_EFFECTS
    await token_owner(context)
    names = [await full_name(str(args.get("repo", "")), context)]
    if target := str(args.get("to", "")):
        names = [await full_name(target, context), *(names if operation == "move" else [])]
    if operation in {"create", "duplicate"}:
        public = args.get("private") is False
    else:
        public = args.get("private") is False or await is_public(names[-1], str(args.get("type", "model")))
    return ExternalEffects(tuple(names), public=public, irreversible=operation in _FINAL)


async def is_public(repo: str, type: str) -> bool:
    """Whether anybody can see the repository. One that is not there is made private. Raises ToolError."""

    def look(api: "HfApi") -> bool:
        return not api.repo_info(repo, repo_type=type).private

    try:
        return await call_hub(look, f"{type} {repo}")
    except NotFound:
        return False
