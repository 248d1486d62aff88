"""What a person reads of a run and of a comparison: learning curves, HTML, Markdown and CSV."""
