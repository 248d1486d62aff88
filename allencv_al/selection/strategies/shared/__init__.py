"""What several strategies share: distances, clusterings, coverage, checks."""
