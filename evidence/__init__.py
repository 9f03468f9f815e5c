"""What the tools of a thread reported, and whether an answer agrees with it."""
