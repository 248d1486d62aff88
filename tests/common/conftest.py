"""Fixtures of the tests of the floor."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


@pytest.fixture
def cpu_seconds() -> Callable[[], float]:
    """A clock that stands still while other processes have the processor."""
    return time.process_time
