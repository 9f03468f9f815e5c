"""The steps by which compact shortens a conversation."""
