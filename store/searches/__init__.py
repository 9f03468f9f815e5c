"""The tables of searches and their attempts."""
