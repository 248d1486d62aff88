"""Fixtures of the tests of commands."""

from fixtures.exchange_labels import labeled as labeled
from fixtures.exchange_labels import make_labeling as make_labeling
