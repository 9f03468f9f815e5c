"""The examples run as the documentation shows them."""
