"""Settings, shipped defaults, prompts, paths and the errors a user can see."""
