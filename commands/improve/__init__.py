"""`improve`: a search for a better value of a metric."""
