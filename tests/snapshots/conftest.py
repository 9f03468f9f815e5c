"""Sessions with workspaces."""

from tests.session.conftest import lab

__all__ = ["lab"]
