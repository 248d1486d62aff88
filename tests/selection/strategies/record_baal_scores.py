"""Record what baal says of some logits, for the tests; it is too heavy to be installed with them.

    pip install --target /tmp/baal --no-deps baal==2.1.0 "structlog<23"
    PYTHONPATH=/tmp/baal python tests/selection/strategies/record_baal_scores.py

baal itself wants all of Jupyter. What it says stands in `baal_scores.json`, with what it was asked.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
from baal.active import heuristics
from scipy.special import softmax

FILE = Path(__file__).with_name("baal_scores.json")


def logits(seed: int, count: int) -> np.ndarray:
    """Return logits `[n, S, C]` of 5 members and 4 classes, of few digits, so that JSON has all."""
    generator = np.random.default_rng(seed)
    return np.round(2 * generator.standard_normal((count, 5, 4)), 2)


def main() -> None:
    """Write the file."""
    pool, targets = logits(0, 40), logits(1, 12)
    # baal has classes before members
    of_pool, of_targets = (softmax(some, axis=2).transpose(0, 2, 1) for some in (pool, targets))
    scores = {
        "bald": heuristics.BALD().get_uncertainties(of_pool),
        "epig": heuristics.EPIG().compute_score(of_pool, of_targets),
        # Of the mean of the members; the lower, the more baal wants it
        "entropy_of_mean": heuristics.Entropy().get_uncertainties(of_pool),
        "certainty_of_mean": heuristics.Certainty().get_uncertainties(of_pool),
        "margin_of_mean": heuristics.Margin().get_uncertainties(of_pool),
    }
    recorded = {
        "baal": importlib.metadata.version("baal"),
        "numpy": np.__version__,
        "mc_logits": pool.tolist(),
        "target_mc_logits": targets.tolist(),
        **{name: np.asarray(values, np.float64).tolist() for name, values in scores.items()},
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in recorded.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
