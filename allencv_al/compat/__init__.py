"""Code that was written for the Alectio SDK, run as it is.

`python -m allencv_al.compat run main.py` runs a script whose imports name `alectio_sdk`;
`gunicorn "allencv_al.compat:app('main.py')"` serves the pipeline that it makes.
"""

from __future__ import annotations

from allencv_al.compat.script import app as app

__all__ = ["app"]
