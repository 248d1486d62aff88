"""Models that find boxes."""
