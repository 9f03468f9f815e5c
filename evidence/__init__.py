"""The record of what ran in a thread, and whether an answer agrees with it."""
