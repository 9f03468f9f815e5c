"""The backends that execute runs: this machine, Hugging Face Jobs, a Hugging Face sandbox."""
