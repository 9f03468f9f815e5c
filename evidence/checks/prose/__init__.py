"""Checks of what an answer concludes in words: comparisons, significance, and techniques that it says were used."""
