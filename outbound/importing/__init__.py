"""Import of conversations from other formats."""
