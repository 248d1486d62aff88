"""Layers that normalize by the statistics of the batch, and batches they refuse."""

from __future__ import annotations

import torch

# Group norm is among them: where each group is one channel it refuses a single value, too.
_LAYERS = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.GroupNorm)
_ONE_VALUE = "Expected more than 1"  # what torch says, of values per channel or spatial elements


def needs_several_items(model: torch.nn.Module) -> bool:
    """Return whether a layer in training mode may refuse a batch of one item."""
    return any(module.training and isinstance(module, _LAYERS) for module in model.modules())


def is_one_value_error(error: ValueError) -> bool:
    """Return whether torch refuses to normalize because there is one value per channel."""
    return str(error).startswith(_ONE_VALUE)


def one_value_message(items: int, cause: str) -> str:
    """Return the message for that error, with its remedy.

    Args:
        items: Number of items in the batch.
        cause: The message of torch.
    """
    if items == 1:
        return (
            "a normalization layer of the model cannot learn from one image, whose map is 1x1 "
            f"there ({cause}); expected a batch_size of 2 or more and 2 or more training images, "
            "or larger images"
        )
    return (
        f"a normalization layer of the model sees one value per channel of each image ({cause}); "
        "expected larger images, or fewer layers that make them smaller"
    )
