"""The files that other programs obey: which they are, and which of them a call or a command would change."""
