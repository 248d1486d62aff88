"""Shared code of strategies: distances, clusterings, coverage, checks."""
