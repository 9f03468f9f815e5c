"""What keeps a run safe: policy, shell risk, sandbox, redaction. It decides and wraps; it runs nothing itself."""
