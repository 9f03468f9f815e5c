"""Running a prompt: headless or interactive."""
