"""Config to objects: parameters, registries, construction from configs, errors and files.

This floor knows no image and imports no torch at module level. The names below are imported when
first used: `allencv-al --help` needs none of them.
"""

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ConfigurationError": "allencv_al.common.errors",
        "FromParams": "allencv_al.common.config.registrable",
        "Lazy": "allencv_al.common.config.configurable",
        "Params": "allencv_al.common.config.params",
        "Registrable": "allencv_al.common.config.registrable",
    },
)

if TYPE_CHECKING:
    from allencv_al.common.config.configurable import Lazy as Lazy
    from allencv_al.common.config.params import Params as Params
    from allencv_al.common.config.registrable import FromParams as FromParams
    from allencv_al.common.config.registrable import Registrable as Registrable
    from allencv_al.common.errors import ConfigurationError as ConfigurationError
