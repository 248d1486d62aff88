"""Label exchange with other programs: formats, export and import."""

FORMATS = ("csv", "jsonl", "folders", "label-studio", "label-studio-min")
"""The names of the formats; defined here so that `--help` imports nothing else."""
