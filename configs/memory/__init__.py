"""The memory of a folder: facts that its code does not show."""
