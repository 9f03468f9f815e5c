"""The evidence of threads, which undo does not change."""
