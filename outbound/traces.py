"""Upload of a thread to the user's trace dataset on the Hub, redacted and checked again for secrets."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ConfigurationError, MLInternError
from ml_intern.outbound.conversation import Conversation
from ml_intern.outbound.exporting.formats import export_conversation
from ml_intern.safety.secrets.redaction import has_secret

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = """\
---
tags:
- agent-traces
- format:agent-traces
- ml-intern
---

Sessions of [ml-intern](https://github.com/huggingface/ml-intern), one file per thread, secrets redacted.
"""


def trace_path(conversation: Conversation) -> str:
    """Return the path of a thread in the dataset. It is stable, so that an upload replaces the previous one."""
    created = datetime.fromtimestamp(conversation.created or 0.0, UTC)
    return f"sessions/{created:%Y-%m-%d}/{conversation.thread_id}.jsonl"


def render_trace(conversation: Conversation) -> bytes:
    """Return the thread in STS format. Raises MLInternError if something in it still looks like a secret."""
    text = export_conversation(conversation, "sts")
    if has_secret(text):
        raise MLInternError("the trace still contains what looks like a secret, so it was not uploaded")
    return text.encode()


def trace_repository(template: str, user: str) -> str:
    """Return the dataset's id. Raises ConfigurationError if the template does not produce one."""
    try:
        repository = template.format(hf_user=user)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigurationError(
            f"personal_trace_repo_template {template!r} has an unknown placeholder", "use only {hf_user}"
        ) from error
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise ConfigurationError(
            f"personal_trace_repo_template gives {repository!r}, which is not of the form OWNER/NAME"
        )
    return repository


def upload_trace(api: "HfApi", repository: str, path: str, content: bytes, *, public: bool) -> str:
    """Upload one trace, creating the dataset if needed, and return its address. Blocks.

    Raises MLInternError if the dataset is public although sharing is private, and the errors of huggingface_hub.
    """
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import RepositoryNotFoundError

    files = {path: content}
    try:
        if not public and not api.dataset_info(repository).private:
            raise MLInternError(
                f"the dataset {repository} is public but sharing is private, so nothing was uploaded",
                "make the dataset private, or run /share-traces public",
            )
    except RepositoryNotFoundError:
        files["README.md"] = CARD.encode()
        api.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True)
    operations = [CommitOperationAdd(name, data) for name, data in files.items()]
    api.create_commit(repository, operations, repo_type="dataset", commit_message=f"Trace {path.rpartition('/')[2]}")
    return f"datasets/{repository}/blob/main/{path}"


def set_visibility(api: "HfApi", repository: str, *, public: bool) -> bool:
    """Make the dataset public or private. Return False if it does not exist. Blocks."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        api.update_repo_settings(repository, repo_type="dataset", private=not public)
    except RepositoryNotFoundError:
        return False
    return True
