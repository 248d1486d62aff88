"""Reports of runs and comparisons: learning curves, HTML, Markdown and CSV."""
