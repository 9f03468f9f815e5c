"""The hub_repos tool: reads and changes repositories on the Hub. Its operations are in the modules beside it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolResult
from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, ToolContext, tool
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_identity import get_hub_token, token_owner
from ml_intern.net.service import NotFound
from ml_intern.tools.hub import repo_changes, repo_discussions, repo_reading
from ml_intern.tools.hub.collection import gather, publishes
from ml_intern.tools.hub.downloads import download
from ml_intern.tools.hub.repo_args import HubReposArgs, full_repo_id, resolve_names
from ml_intern.tools.hub.repo_diff import diff
from ml_intern.tools.hub.uploads import upload

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Result = Awaitable[ToolResult | str]

REMOTE: dict[str, Callable[[HubReposArgs], Result]] = {
    "account": repo_reading.account,
    "info": repo_reading.info,
    "list": repo_reading.list_files,
    "read": repo_reading.read,
    "refs": repo_reading.refs,
    "commits": repo_reading.commits,
    "discussions": repo_discussions.discussions,
    "discussion": repo_discussions.discussion,
    "runtime": repo_reading.runtime,
    "logs": repo_reading.logs,
    "delete_files": repo_changes.delete_files,
    "card": repo_changes.card,
    "create": repo_changes.create,
    "settings": repo_changes.settings,
    "move": repo_changes.move,
    "duplicate": repo_changes.duplicate,
    "delete_repo": repo_changes.delete_repo,
    "create_branch": repo_changes.create_branch,
    "delete_branch": repo_changes.delete_branch,
    "create_tag": repo_changes.create_tag,
    "delete_tag": repo_changes.delete_tag,
    "open_discussion": repo_discussions.open_discussion,
    "open_pull_request": repo_discussions.open_pull_request,
    "comment": repo_discussions.comment,
    "rename_discussion": repo_discussions.rename,
    "close": repo_discussions.close,
    "reopen": repo_discussions.reopen,
    "merge": repo_discussions.merge,
}
WITH_FILES: dict[str, Callable[[HubReposArgs, ToolContext], Result]] = {
    "diff": diff,
    "download": download,
    "upload": upload,
}
"""Operations that also access the workspace."""
READING = frozenset(
    {"account", "info", "list", "read", "diff", "refs", "commits", "discussions", "discussion", "runtime", "logs"}
)
_LOCAL = frozenset({"download"})
_FINAL = frozenset({"delete_repo", "delete_branch", "move"})


def only_reads(args: Mapping[str, Any]) -> bool:
    """Return whether an operation changes nothing, here or on the Hub."""
    return args.get("operation") in READING


async def repo_effects(args: Mapping[str, Any], context: ToolContext) -> ExternalEffects:
    """Return the external effects of a call. Without a token there are none: the call itself fails.

    Raises:
        ToolError: the Hub did not provide the required information.
    """
    operation = args.get("operation", "")
    if only_reads(args) or operation in _LOCAL or not await get_hub_token():
        return NO_EFFECTS
    await token_owner(context)
    names = [await full_repo_id(str(args.get("repo", "")), context)]
    if target := str(args.get("to", "")):
        names = [await full_repo_id(target, context), *(names if operation == "move" else [])]
    if operation in {"create", "duplicate"}:
        public = args.get("private") is False
    else:
        public = args.get("private") is False or await is_public(names[-1], str(args.get("type", "model")))
    return ExternalEffects(tuple(names), public=public, irreversible=operation in _FINAL)


async def is_public(repo: str, type: str) -> bool:
    """Return whether a repository is public. A missing one would be created as private. Raises ToolError."""

    def read_visibility(api: "HfApi") -> bool:
        return not api.repo_info(repo, repo_type=type).private

    try:
        return await call_hub(read_visibility, f"{type} {repo}")
    except NotFound:
        return False


@tool(timeout=None, path_args=("local",), reads=only_reads, effects=repo_effects, publishes=publishes)
async def hub_repos(args: HubReposArgs, context: ToolContext) -> ToolResult | str:
    """Read and change repositories on the Hugging Face Hub: models, datasets and spaces.

    Read operations (never need approval):
    - account: the token's owner. info: details of a repository, with the card's metadata.
    - list: files below path (recursive). read: a text file at path, by lines (offset, limit); read README.md first.
    - diff: revision compared with another one (against), or with a local folder (local).
    - refs: branches, tags, pull requests. commits: the history. discussions, discussion (number): with the diff.
    - runtime, logs: of a space.
    Download:
    - download: path, patterns or everything, into the folder local.
    Write operations:
    - create: a repository, private unless private is false. Keep it private unless the user asked to publish it.
    - upload: the file or folder local to path; creates a missing repository as private. Large folders are uploaded in
      several commits; repeat an interrupted upload to continue it. Upload a README.md card with the weights: license,
      base_model, datasets, metrics, how it was trained, its limitations.
    - delete_files (patterns), card (metadata), create_branch, delete_branch, create_tag, delete_tag (name).
    - settings (private, gated), move, duplicate (to), delete_repo: deletion cannot be undone.
    - open_discussion, open_pull_request (title, text), comment, rename_discussion, close, reopen, merge (number).
    A public repository or one of another owner is changed only if the user named it.
    """
    whole = args if args.operation == "account" else await resolve_names(args, context)
    result = await _perform(whole, context)
    return await gather(result, whole, context) if publishes(args.model_dump()) else result


def _perform(args: HubReposArgs, context: ToolContext) -> Result:
    if args.operation in WITH_FILES:
        return WITH_FILES[args.operation](args, context)
    return REMOTE[args.operation](args)
