"""Tests of runs: local ones, and jobs and sandboxes on the fake Hub."""
