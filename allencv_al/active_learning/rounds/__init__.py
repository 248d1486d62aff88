"""Rounds of a run: their records, outputs and metrics."""
