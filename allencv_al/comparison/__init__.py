"""Comparing query strategies over seeds: their learning curves and the statistics on them."""
