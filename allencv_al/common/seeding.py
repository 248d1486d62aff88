"""Seeds, and the state of every random number generator.

The randomness of an item depends on (seed, epoch, item id) only, so the number of workers and the
order in which they finish change nothing.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allencv_al.common.errors import ConfigurationError


def item_seed(seed: int, epoch: int, item_id: str) -> int:
    """Return the 64-bit seed of one item in one epoch."""
    key = f"{seed}/{epoch}/{item_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def seed_everything(
    random_seed: int | None, numpy_seed: int | None, pytorch_seed: int | None
) -> None:
    """Seed Python, NumPy and torch (every device); None leaves that generator as it is.

    Raises:
        ConfigurationError: A seed is beyond what its generator takes; no generator was seeded.
    """
    import numpy as np
    import torch

    _check_seed("numpy_seed", numpy_seed, 0, 2**32 - 1)
    _check_seed("pytorch_seed", pytorch_seed, -(2**63), 2**64 - 1)
    if random_seed is not None:
        random.seed(random_seed)
    if numpy_seed is not None:
        np.random.seed(numpy_seed)  # noqa: NPY002  user code and libraries draw from the global one
    if pytorch_seed is not None:
        torch.manual_seed(pytorch_seed)


def _check_seed(name: str, seed: int | None, least: int, most: int) -> None:
    if seed is not None and not least <= seed <= most:
        raise ConfigurationError(f"{name}: expected {least} to {most}, found {seed}")


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch's CPU within a `with` block.

    Afterwards they are as they were before. They belong to the whole process: no other thread may
    draw from them meanwhile.

    Args:
        seed: 64 bits.
    """
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])  # noqa: NPY002  it takes 32 bits at a time
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


def random_state() -> dict[str, Any]:
    """Return the state of the global generators, as JSON values and tensors only."""
    import numpy as np
    import torch

    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(internal), gauss],
        "numpy": [
            name,
            torch.from_numpy(np.asarray(keys).astype("int64")),
            position,
            has_gauss,
            cached,
        ],
        "torch": torch.get_rng_state(),
        "cuda": _cuda_states(),
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Bring the global generators back to a state that `random_state` returned."""
    import numpy as np
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(  # noqa: NPY002
        (name, keys.numpy().astype("uint32"), position, has_gauss, cached)
    )
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():  # it was in use, so it will be again
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])


def _cuda_states() -> list[Any]:
    """Return the states of the GPUs; none where this process has not used them, nor starts to."""
    import torch

    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return list(torch.cuda.get_rng_state_all()) if in_use else []
