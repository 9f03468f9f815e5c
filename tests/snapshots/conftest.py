"""Sessions whose workspaces are kept."""

from tests.session.conftest import lab

__all__ = ["lab"]
