"""Config to objects: parameters, registries, construction from configs, errors and files.

This floor knows no image and imports no torch at module level.
"""

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.from_params import FromParams
from allencv_al.common.lazy import Lazy
from allencv_al.common.params import Params
from allencv_al.common.registrable import Registrable

__all__ = ["ConfigurationError", "FromParams", "Lazy", "Params", "Registrable"]
