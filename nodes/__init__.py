"""The five nodes of the loop, one file each, its routing function beside it."""
