"""The policies of a search: which attempt comes next."""
