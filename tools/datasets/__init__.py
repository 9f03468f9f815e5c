"""datasets: search and inspect a dataset before training on it."""
