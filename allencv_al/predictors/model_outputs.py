"""Outputs of a model for a batch, as arrays: logits and embeddings from one pass."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from allencv_al.models.model import Model

OUTPUTS = ("logits", "embeddings")
"""Outputs of a model with one row per image."""


def model_outputs(model: Model, image: Tensor, needs: Collection[str]) -> dict[str, Tensor]:
    """Return what is needed, each `[B, ...]`, by the fewest passes.

    A model that takes embeddings encodes the image once for both.

    Args:
        model: The model, in the mode that is wanted.
        image: Images `[B, C, H, W]`, float.
        needs: Some of `logits` and `embeddings`.
    """
    if "embeddings" not in needs:
        return {"logits": model(image=image)["logits"]} if "logits" in needs else {}
    outputs = {"embeddings": model.embed(image)}
    if "logits" in needs and model.takes_embeddings:
        outputs["logits"] = model(embedding=outputs["embeddings"])["logits"]
    elif "logits" in needs:
        outputs["logits"] = model(image=image)["logits"]
    return outputs
