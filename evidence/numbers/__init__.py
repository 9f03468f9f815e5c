"""The numbers that programs printed, the numbers that an answer states, and whether they agree. Pure functions."""
