"""Jupyter notebooks as files with cells: reading, changing and running them."""
