"""What a model makes of embeddings that are there already: no image is decoded."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.models.denormals import flushed_denormals
from allencv_al.models.model import Model
from allencv_al.selection.pool.mc_dropout import ConsistentDropout
from allencv_al.selection.pool.pool_outputs import PoolOutputs

_ROWS_AT_A_TIME = 8192


def outputs_of_embeddings(
    model: Model,
    known: PoolOutputs,
    needs: Collection[str],
    mc_samples: int = 20,
    seed: int = 0,
) -> PoolOutputs:
    """Return what is needed, as scoring the images anew would give it.

    Args:
        model: A model that `takes_embeddings`.
        known: The items with their `embeddings`.
        needs: Some of `logits`, `mc_logits`, `embeddings`.
        mc_samples: Members for `mc_logits`.
        seed: Decides their dropout masks.
    """
    assert known.embeddings is not None
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), flushed_denormals(), ConsistentDropout(model, seed) as dropout:
            logits = _logits(model, known) if "logits" in needs else None
            members = []
            for member in range(mc_samples if "mc_logits" in needs else 0):
                dropout.use(member)
                members.append(_logits(model, known))
    finally:
        model.train(was_training)
    return PoolOutputs(
        known.ids,
        logits=logits,
        mc_logits=np.stack(members, axis=1) if members else None,
        embeddings=known.embeddings if "embeddings" in needs else None,
        unreadable=known.unreadable,
    )


def _logits(model: Model, known: PoolOutputs) -> NDArray[np.float32]:
    assert known.embeddings is not None
    device = next(model.parameters(), torch.empty(0)).device
    blocks = []
    for start in range(0, len(known.ids), _ROWS_AT_A_TIME):
        rows = np.array(known.embeddings[start : start + _ROWS_AT_A_TIME], dtype=np.float32)
        outputs = model(embedding=torch.from_numpy(rows).to(device))
        blocks.append(outputs["logits"].float().cpu().numpy())
    if not blocks:
        return np.empty((0, model.vocab.get_vocab_size()), np.float32)
    return np.concatenate(blocks)
