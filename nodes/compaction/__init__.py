"""How compact shortens a conversation."""
