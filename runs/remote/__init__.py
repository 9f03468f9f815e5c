"""Runs on machines that the user names in the settings: over ssh, and as jobs of Slurm."""
