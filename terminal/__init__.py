"""What a person sees: rendering, prompt, slash commands, approval dialogue."""
