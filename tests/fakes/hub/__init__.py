"""A Hugging Face Hub on loopback that the real huggingface_hub, `datasets` and `hf` command work with.

server.py runs it and records every request; storage.py holds repositories; the other files are the routes. Its jobs
really run their command on this machine.
"""

from tests.fakes.hub.accounts import Account
from tests.fakes.hub.server import Asked, FakeHub
from tests.fakes.hub.storage import Blob, Repository

__all__ = ["Account", "Asked", "Blob", "FakeHub", "Repository"]
