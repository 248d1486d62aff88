"""Fixtures of the tests of the floor."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


@pytest.fixture
def cpu_seconds() -> Callable[[], float]:
    """A clock that stands still while other processes have the processor.

    It is for bounds that only a wrong order of growth passes: what is meant takes a second, and its
    quadratic form takes minutes, on any machine.
    """
    return time.process_time
