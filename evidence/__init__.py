"""The numbers reported by the tools of a thread, and whether an answer agrees with them."""
