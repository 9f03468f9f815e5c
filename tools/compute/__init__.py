"""jobs, experiments and sandbox: background runs for the model."""
