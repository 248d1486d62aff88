"""Fixtures of the tests of commands."""

from fixtures.exchange_labels import labeled as labeled
from fixtures.exchange_labels import make_labeling as make_labeling
from fixtures.label_pages import served as served
from fixtures.loop_projects import project as project
from fixtures.prediction_lines import archive as archive
from fixtures.prediction_lines import files as files
from fixtures.selections import pool as pool
