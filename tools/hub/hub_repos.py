"""The hub_repos tool: repositories on the Hub, read and changed. Each operation is a function in a file beside this."""

from collections.abc import Awaitable, Callable

from ml_intern.execution.call import ToolResult
from ml_intern.execution.tool import ToolContext, tool
from ml_intern.tools.hub import repo_changes, repo_reading
from ml_intern.tools.hub import repo_discussions as repo_talk
from ml_intern.tools.hub.downloads import download
from ml_intern.tools.hub.repo_args import HubReposArgs, named
from ml_intern.tools.hub.repo_diff import diff
from ml_intern.tools.hub.repo_effects import only_reads, repo_effects
from ml_intern.tools.hub.uploads import upload

Result = Awaitable[ToolResult | str]

REMOTE: dict[str, Callable[[HubReposArgs], Result]] = {
    "account": repo_reading.account,
    "info": repo_reading.info,
    "list": repo_reading.list_files,
    "read": repo_reading.read,
    "refs": repo_reading.refs,
    "commits": repo_reading.commits,
    "discussions": repo_talk.discussions,
    "discussion": repo_talk.discussion,
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
    "open_discussion": repo_talk.open_discussion,
    "open_pull_request": repo_talk.open_pull_request,
    "comment": repo_talk.comment,
    "rename_discussion": repo_talk.rename,
    "close": repo_talk.close,
    "reopen": repo_talk.reopen,
    "merge": repo_talk.merge,
}
WITH_FILES: dict[str, Callable[[HubReposArgs, ToolContext], Result]] = {
    "diff": diff,
    "download": download,
    "upload": upload,
}
"""Those that also touch the workspace."""


@tool(timeout=None, path_args=("local",), reads=only_reads, effects=repo_effects)
async def hub_repos(args: HubReposArgs, context: ToolContext) -> ToolResult | str:
    """Read and change repositories on the Hugging Face Hub: models, datasets and spaces.

    To look (never asked about):
    - account: who the token belongs to. info: what the Hub knows, with the card's metadata.
    - list: files below path (recursive). read: a text file at path, by lines (offset, limit); read README.md first.
    - diff: revision against another one (against), or against a folder here (local).
    - refs: branches, tags, pull requests. commits: the history. discussions, discussion (number): with a diff.
    - runtime, logs: of a space.
    To fetch: download: path or patterns, or all, into the folder local.
    To change:
    - create: a repository, private unless private is false. Keep private what the user did not ask to publish.
    - upload: the file or folder local to path; makes the repository, private, when it is missing; large folders go up
      in several commits and go on where they stopped when repeated. Upload a README.md card with the weights: license,
      base_model, datasets, metrics, how it was trained, its limits.
    - delete_files (patterns), card (metadata), create_branch, delete_branch, create_tag, delete_tag (name).
    - settings (private, gated), move, duplicate (to), delete_repo: the last cannot be taken back.
    - open_discussion, open_pull_request (title, text), comment, rename_discussion, close, reopen, merge (number).
    Another's or a public repository is changed only where the user named it.
    """
    whole = args if args.operation == "account" else await named(args, context)
    if args.operation in WITH_FILES:
        return await WITH_FILES[args.operation](whole, context)
    return await REMOTE[args.operation](whole)
