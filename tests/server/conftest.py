"""Sessions beside the server."""

from tests.session.conftest import lab

__all__ = ["lab"]
