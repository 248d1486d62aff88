"""Specs of annotations: check, build and describe values."""
