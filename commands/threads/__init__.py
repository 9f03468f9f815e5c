"""threads: list, show, move, export, prune, replay."""
