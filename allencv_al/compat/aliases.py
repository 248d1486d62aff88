"""The module names that code for the Alectio SDK imports, for this process."""

from __future__ import annotations

import importlib.util
import logging
import sys
from types import ModuleType

from allencv_al.compat.alectio_dataset import AlectioDataset
from allencv_al.compat.legacy_pipeline import LegacyPipeline
from allencv_al.service.pipeline import sql_client

logger = logging.getLogger(__name__)

_SQL_NAMES = ("create_database", "create_connection", "create_table", "add_index")
_TORCH_NAMES = ("non_max_suppression", "bbox_iou", "setpytorchreproduceability")


def install() -> None:
    """Make `import alectio_sdk...` import the replacements of this package, in memory only."""
    if "alectio_sdk" not in sys.modules and importlib.util.find_spec("alectio_sdk") is not None:
        logger.warning("alectio_sdk is installed here, and not used by this process")
    sql = _module("alectio_sdk.sdk.sql_client")
    for name in _SQL_NAMES:
        setattr(sql, name, getattr(sql_client, name))
    dataset = _module("alectio_sdk.sdk.alectio_dataset", AlectioDataset=AlectioDataset)
    utils = _Lazy("alectio_sdk.torch_utils.utils")
    parts = [
        _module("alectio_sdk", is_package=True),
        _module("alectio_sdk.flask_wrapper", is_package=True, Pipeline=LegacyPipeline),
        _module(
            "alectio_sdk.sdk",
            is_package=True,
            Pipeline=LegacyPipeline,
            sql_client=sql,
            alectio_dataset=dataset,
        ),
        sql,
        dataset,
        _module("alectio_sdk.torch_utils", is_package=True, utils=utils),
        utils,
    ]
    for part in parts:
        sys.modules[part.__name__] = part
    root = sys.modules["alectio_sdk"]
    for name in ("flask_wrapper", "sdk", "torch_utils"):
        setattr(root, name, sys.modules[f"alectio_sdk.{name}"])


def _module(name: str, is_package: bool = False, **members: object) -> ModuleType:
    found = ModuleType(name, "Stands for the Alectio SDK's, in this process.")
    if is_package:
        found.__path__ = []
    for member, value in members.items():
        setattr(found, member, value)
    return found


class _Lazy(ModuleType):
    """A module whose functions are imported, with torch, when they are asked for."""

    def __getattr__(self, name: str) -> object:
        if name not in _TORCH_NAMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from allencv_al.compat import legacy_detection

        return getattr(legacy_detection, name)
