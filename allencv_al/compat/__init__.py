"""Old names and code of other packages: version 0.1, AllenNLP 0.9 and the Alectio SDK.

`python -m allencv_al.compat run main.py` runs a script that imports `alectio_sdk`;
`gunicorn "allencv_al.compat:app('main.py')"` serves the pipeline that it creates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.compat.script import app as app

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"app": "allencv_al.compat.script"})
