"""Watch and record what commands do to files, for the evidence of a thread."""
