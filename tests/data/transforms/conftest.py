"""Fixtures of the tests of transforms."""

from fixtures.transform_samples import name as name
