"""Parts of a trainer for tests, as a config would name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allencv_al.common import Lazy
from allencv_al.training.optimizers import Optimizer

Make = Callable[..., Any]


def lazy(base: Any, name: str, **options: Any) -> Lazy[Any]:
    return Lazy(base.by_name(name), **options)


def sgd(**options: Any) -> Lazy[Any]:
    return lazy(Optimizer, "sgd", **{"lr": 0.1, **options})
