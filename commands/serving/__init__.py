"""Commands that serve threads to other programs until a signal arrives."""
