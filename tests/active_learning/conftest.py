"""Fixtures of the tests of loops."""

from fixtures.loop_projects import project as project
