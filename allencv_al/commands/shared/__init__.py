"""Shared code of subcommands: arguments, inputs, and results."""
