"""The Hub's library as every tool uses it: identified as us, with an endpoint and a timeout."""

import os
from typing import TYPE_CHECKING

from configs.hosts import hub_url
from configs.version import version

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0


def hub_api() -> "HfApi":
    """The client of the Hub. It blocks: call it by `in_thread`. The token is HF_TOKEN's or the stored login's."""
    os.environ.setdefault("AI_AGENT", "ml-intern")
    from huggingface_hub import HfApi, get_session

    # The library's own client waits for ever.
    get_session().timeout = (CONNECT_SECONDS, IDLE_SECONDS, IDLE_SECONDS, IDLE_SECONDS)
    return HfApi(endpoint=hub_url(), library_name="ml-intern", library_version=version())
