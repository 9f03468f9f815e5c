"""Where a run runs: this machine, Hugging Face Jobs, a Hugging Face sandbox."""
