"""Fake services on loopback."""
