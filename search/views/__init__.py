"""A search for people: the tree as lines, and the curve of the metric."""
