"""Checks of an experiment before any image is read."""
