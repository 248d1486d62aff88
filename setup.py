"""Let tools that still call setup.py find the metadata, which is in pyproject.toml."""

from setuptools import setup

setup()
