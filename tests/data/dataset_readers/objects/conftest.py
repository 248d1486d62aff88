"""Fixtures of the tests of readers of objects."""

from fixtures.object_files import write_images as write_images
