"""The user's files as they were at the start of each turn, and how undo restores them."""
