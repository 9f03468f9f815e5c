"""The checks of an answer against the evidence, one subject per module. Each returns claims or findings."""
