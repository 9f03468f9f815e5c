"""Commands that bring text from outside, as far as their words show it: for where no sandbox sees their connections."""

import re
from urllib.parse import urlsplit

from safety.shell_exfiltration import NETWORK_CLIENTS
from safety.shell_invocations import Scene

_URL = re.compile(r"(?:https?|ftp|git|ssh|hf|s3|gs)://[^\s'\"<>)]+")
_FETCHES = re.compile(
    r"git (?:-\S+ (?:\S+ )?)*(?:clone|pull|fetch|submodule update|ls-remote|remote update|archive --remote)|"
    r"gh (?:pr|issue|release|repo|api|gist|search|run|workflow)|"
    r"(?:hf|huggingface-cli) (?:download|models|datasets|spaces|papers|discussions|repos?|jobs|cache)|"
    r"kaggle (?:datasets|competitions|kernels|models) (?:download|pull|list|files)|"
    r"(?:aws s3|gsutil|gcloud storage|rclone|azcopy) (?:cp|mv|sync|copy|cat|ls)|dvc (?:pull|fetch|get|import)|"
    r"wandb (?:artifact get|pull|restore)|(?:docker|podman) (?:pull|logs)"
)
_NOT_INWARD = frozenset({"ping", "openssl", "mail", "sendmail"})


def inward_sources(scene: Scene) -> tuple[str, ...]:
    """Where its text may come from: hosts of the URLs it names, and programs that fetch."""
    texts = [word for one in scene.invocations for word in (*one.arguments, one.code)]
    hosts = [urlsplit(url).netloc.rpartition("@")[2] for text in texts for url in _URL.findall(text)]
    lines = [(one.name, " ".join((one.name, *one.arguments))[:2000]) for one in scene.invocations]
    programs = [
        name for name, line in lines if (name in NETWORK_CLIENTS and name not in _NOT_INWARD) or _FETCHES.match(line)
    ]
    return tuple(dict.fromkeys(hosts)) or tuple(dict.fromkeys(programs))
