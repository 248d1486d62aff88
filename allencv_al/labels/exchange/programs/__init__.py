"""Formats of single programs, each with its reading and its writing in one module."""
