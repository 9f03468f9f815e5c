"""The arguments of hub_repos, and the resolution of repository names."""

from typing import Any, Literal

from pydantic import Field

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolArgs, ToolContext
from ml_intern.net.hub_identity import token_owner

RepoType = Literal["model", "dataset", "space"]
Operation = Literal[
    "account", "info", "list", "read", "diff", "refs", "commits", "discussions", "discussion", "runtime", "logs",
    "download", "upload", "delete_files", "card", "create", "settings", "move", "duplicate", "delete_repo",
    "create_branch", "delete_branch", "create_tag", "delete_tag", "open_discussion", "open_pull_request", "comment",
    "rename_discussion", "close", "reopen", "merge",
]  # fmt: skip


class HubReposArgs(ToolArgs):
    """The arguments of hub_repos. The tool's description says which operation uses which."""

    operation: Operation = Field(description="The operation; see the tool's description.")
    repo: str = Field("", max_length=200, description="org/name; a bare name belongs to the token's owner.")
    type: RepoType = Field("model", description="The type of repository.")
    path: str = Field("", max_length=1000, description="File or folder in the repository; empty for its root.")
    local: str = Field("", max_length=1000, description="File or folder in the workspace.")
    revision: str = Field("", max_length=200, description="Branch, tag, commit or refs/pr/N; empty for main.")
    against: str = Field("", max_length=200, description="diff: the other revision.")
    recursive: bool = Field(False, description="list: include subfolders.")
    offset: int = Field(1, ge=1, description="read: the first line to show.")
    limit: int = Field(500, ge=1, le=5_000, description="The maximum number of lines (read) or entries (lists).")
    patterns: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="delete_files: paths or patterns, a folder ends with /; upload, download: only matching files.",
    )
    message: str = Field("", max_length=2_000, description="upload, delete_files, card, tags: the commit message.")
    create_pr: bool = Field(False, description="upload, delete_files, card: create a pull request instead.")
    name: str = Field("", max_length=200, description="The branch or tag.")
    to: str = Field("", max_length=200, description="move, duplicate: the new org/name.")
    private: bool | None = Field(None, description="create, duplicate: false for public, otherwise private; settings.")
    gated: Literal["no", "auto", "manual"] | None = Field(
        None, description="settings: whether access must be requested, and who approves it."
    )
    sdk: Literal["gradio", "docker", "static"] | None = Field(None, description="create: the SDK of a space.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="card: metadata fields to set.")
    number: int = Field(0, ge=0, description="The discussion or pull request.")
    title: str = Field("", max_length=300, description="The title of a discussion or pull request.")
    text: str = Field("", max_length=20_000, description="The text of the discussion or comment, in markdown.")

    @property
    def at(self) -> str | None:
        """The revision, or None for the default."""
        return self.revision or None

    @property
    def about(self) -> str:
        """Type and name for error messages."""
        return f"{self.type} {self.repo}"


async def resolve_names(args: HubReposArgs, context: ToolContext) -> HubReposArgs:
    """Return the arguments with full repository ids.

    Raises:
        ToolError: the name is missing, or has no namespace and there is no token.
    """
    to = await full_repo_id(args.to, context) if args.to else ""
    return args.model_copy(update={"repo": await full_repo_id(args.repo, context), "to": to})


async def full_repo_id(repo: str, context: ToolContext) -> str:
    """Return `org/name`; a bare name gets the token owner's namespace. Raises ToolError when that is unknown."""
    name = repo.strip().strip("/")
    if not name:
        raise ToolError("set `repo` to the repository, as org/name")
    if "/" in name:
        return name
    owner = await token_owner(context)
    if not owner:
        raise ToolError(f"{name} has no namespace, and there is no token to take it from; use org/name")
    return f"{owner}/{name}"


def require_args(args: HubReposArgs, *names: str) -> None:
    """Raise ToolError when one of these arguments is missing."""
    missing = [name for name in names if not getattr(args, name)]
    if missing:
        raise ToolError(f"the operation {args.operation} requires {' and '.join(missing)}")
