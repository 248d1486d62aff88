"""Labels on their way to other programs and back."""

FORMATS = ("csv", "jsonl", "folders", "label-studio", "label-studio-min")
"""The names of the formats; here, because `--help` shows them and loads nothing else for it."""
