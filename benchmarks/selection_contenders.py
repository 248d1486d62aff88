"""What `selection.py` compares: the data, and for each library how it chooses from them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DIMENSIONS, CLASSES, QUERY, LABELED, MEMBERS = 512, 10, 100, 1000, 20
TARGETS, FEWER_TARGETS = 1000, 100
ROWS_AT_A_TIME = 65_536
RADIUS, BANDWIDTH = 17.5, 18.0  # features of this kind are some 18.7 apart

ONE_MODEL = ("random", "least_confidence", "margin", "entropy", "ratio")
MEMBERS_ONLY = ("variation_ratio", "mean_std", "bald", "power_bald", "batch_bald", "epig")
LAST_LAYER = ("bait", "auto", "drop_query", "alfa_mix", "galaxy")
FEATURES = ("k_center", "badge", *LAST_LAYER, "cluster_margin", "clue", "typiclust")
COVERAGE = ("prob_cover", "max_herding", "uncertainty_herding")
WRAPPERS = ("subsample", "deduplicate", "epsilon_random", "class_balanced", "mixture", "switch")
STRATEGIES = (*ONE_MODEL, *MEMBERS_ONLY, *FEATURES, *COVERAGE, *WRAPPERS)

# Where the choice is no matter of chance, so that picks can be compared
DETERMINISTIC = (*ONE_MODEL[1:], "bald", "epig", "k_center", "prob_cover", "max_herding")


def options_of(strategy: str, spread: float) -> dict[str, Any]:
    """Return the arguments of a strategy.

    Wrappers are around strategies that read embeddings, which is what a wrapper could copy.

    Args:
        strategy: Its name.
        spread: Distances of the features, as a multiple of those that `RADIUS` is for.
    """
    options: dict[str, dict[str, Any]] = {
        "prob_cover": {"radius": RADIUS * spread},
        "max_herding": {"bandwidth": BANDWIDTH * spread},
        "uncertainty_herding": {"bandwidth": BANDWIDTH * spread},
        "subsample": {"strategy": "badge", "fraction": 0.5},
        "deduplicate": {"strategy": "badge", "quantile": 0.5},
        "epsilon_random": {"strategy": "badge", "epsilon": 0.2},
        "class_balanced": {"strategy": "k_center"},
        "mixture": {
            "strategies": [
                {"strategy": "k_center", "fraction": 0.5},
                {"strategy": "badge", "fraction": 0.3},
                {"strategy": "margin", "fraction": 0.2},
            ]
        },
        "switch": {
            "before": "typiclust",
            "after": "badge",
            "when": "coverage",
            "threshold": 0.5,
            "radius": RADIUS * spread,
        },
    }
    return options.get(strategy, {})


@dataclass
class Data:
    """What the contenders choose from; an array that a strategy does not need is empty."""

    logits: np.ndarray
    embeddings: np.ndarray
    labeled: np.ndarray
    labeled_logits: np.ndarray
    mc_logits: np.ndarray
    target_mc_logits: np.ndarray
    query: int
    spread: float


def on_disk(folder: Path, count: int, width: int, lowest: float) -> np.ndarray:
    """Return normal numbers in float16, memory-mapped; they are made once, in blocks.

    Args:
        folder: The folder of the file.
        count: Number of rows.
        width: Values of a row.
        lowest: Lower values become this one.
    """
    path = folder / f"{count}_{width}_{lowest}.npy"
    if not path.exists():
        generator = np.random.default_rng(width)
        unfinished = folder / f"{path.name}.part"
        rows = np.lib.format.open_memmap(unfinished, "w+", np.float16, (count, width))
        for start in range(0, count, ROWS_AT_A_TIME):
            block = rows[start : start + ROWS_AT_A_TIME]
            normal = generator.standard_normal(block.shape, dtype=np.float32)
            np.maximum(normal, lowest, out=block, casting="same_kind")
        rows.flush()
        unfinished.rename(path)
    mapped: np.ndarray = np.load(path, mmap_mode="r")
    return mapped


def make_data(
    strategy: str,
    count: int,
    query: int = QUERY,
    dimensions: int = DIMENSIONS,
    folder: Path | None = None,
) -> Data:
    """Return features as after a ReLU, and logits.

    Args:
        strategy: Its name: it says what is needed.
        count: Number of items.
        query: How many of them are chosen.
        dimensions: Values of an embedding.
        folder: Where logits and embeddings lie in float16, memory-mapped; None: in memory, float32.
    """
    generator = np.random.default_rng(0)
    logits = 2 * generator.standard_normal(
        (0 if folder is not None else count, CLASSES), dtype=np.float32
    )
    members = MEMBERS if strategy in MEMBERS_ONLY else 0
    mc_logits = generator.standard_normal((count, members, CLASSES), dtype=np.float32)
    wide = 0 if strategy in ONE_MODEL + MEMBERS_ONLY else dimensions
    if folder is not None:
        logits = on_disk(folder, count, CLASSES, -np.inf)
        embeddings = on_disk(folder, count, wide, 0.0) if wide else np.empty((count, 0))
    else:
        embeddings = generator.standard_normal((count, wide), dtype=np.float32)
        np.maximum(embeddings, 0, out=embeddings)
    labeled = generator.standard_normal((LABELED, wide), dtype=np.float32)
    targets = TARGETS if count <= 10_000 else FEWER_TARGETS
    target_mc_logits = generator.standard_normal((targets, members, CLASSES), dtype=np.float32)
    labeled_logits = 2 * generator.standard_normal((LABELED, CLASSES), dtype=np.float32)
    np.maximum(labeled, 0, out=labeled)
    spread = (dimensions / DIMENSIONS) ** 0.5
    members_of = (mc_logits, target_mc_logits)
    return Data(logits, embeddings, labeled, labeled_logits, *members_of, query, spread)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


Choice = Callable[[], Sequence[int]]


def ours(strategy: str, data: Data) -> Choice:
    """Our strategy of that name."""
    from allencv_al.active_learning import Pool, QueryStrategy

    config = {"type": strategy, **options_of(strategy, data.spread)}
    chooser = QueryStrategy.from_params(config)
    # BADGE and those that look at each item alone do not ask what is labeled
    labeled = strategy not in ("badge", *ONE_MODEL, *MEMBERS_ONLY)
    pool = Pool(
        ids=[str(index) for index in range(len(data.logits))],
        logits=data.logits,
        embeddings=data.embeddings,
        labeled_embeddings=data.labeled if labeled else None,
        labeled_logits=data.labeled_logits,
        labeled_labels=np.arange(LABELED) % CLASSES,
        mc_logits=data.mc_logits,
        target_mc_logits=data.target_mc_logits,
    )
    return lambda: [int(id) for id in chooser.select(pool, data.query, 0).ids]


def scikit_activeml(strategy: str, data: Data) -> Choice:
    """scikit-activeml; its classifier is a table of the probabilities, which costs nothing."""
    from skactiveml import pool
    from skactiveml.base import SkactivemlClassifier

    class Table(SkactivemlClassifier):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Table:  # noqa: N803
            return self

        def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
            return probabilities

    warnings.simplefilter("ignore")
    unlabeled = np.full(len(data.logits), np.nan)
    radius, gamma = RADIUS * data.spread, 0.5 / (BANDWIDTH * data.spread) ** 2
    with_labeled: dict[str, Callable[[], Any]] = {
        "k_center": lambda: pool.CoreSet(random_state=0),
        "typiclust": lambda: pool.TypiClust(random_state=0, k=20),
        "prob_cover": lambda: pool.ProbCover(
            random_state=0,
            n_classes=CLASSES,
            deltas=[radius],
            distance_func=_distances,
        ),
        "max_herding": lambda: pool.MaxHerding(
            random_state=0, normalize_samples=False, metric_dict={"gamma": gamma}
        ),
    }
    if strategy in with_labeled:
        everything = np.concatenate([data.labeled, data.embeddings])
        data.labeled = data.embeddings = everything[:0]
        labels = np.concatenate([np.arange(LABELED) % CLASSES, unlabeled])
        chooser = with_labeled[strategy]()
        return lambda: [
            i - LABELED for i in chooser.query(everything, labels, batch_size=data.query)
        ]
    probabilities = softmax(data.logits)
    rows = data.embeddings if data.embeddings.size else data.logits
    methods = {"least_confidence": "least_confident", "margin": "margin_sampling"}
    choose: Any = {
        "badge": lambda: pool.Badge(random_state=0),
        "clue": lambda: pool.Clue(random_state=0),
    }.get(
        strategy,
        lambda: pool.UncertaintySampling(method=methods.get(strategy, strategy), random_state=0),
    )().query
    model = "estimator" if "estimator" in inspect.signature(choose).parameters else "clf"
    options = {
        model: Table(classes=list(range(CLASSES))),
        f"fit_{model}": False,
        "batch_size": data.query,
    }
    return lambda: choose(rows, unlabeled, **options)


def _distances(rows: np.ndarray) -> np.ndarray:
    """Return all distances, as scikit-activeml's default does, but of the type of the rows."""
    from sklearn.metrics import pairwise_distances

    return pairwise_distances(rows)


def baal(strategy: str, data: Data) -> Choice:
    """baal, whose heuristics rank the whole pool by probabilities; making these counts, as ours."""
    from baal.active import heuristics

    def members(logits: np.ndarray) -> np.ndarray:
        return np.moveaxis(softmax(logits), 1, 2)

    if strategy == "entropy":
        return lambda: heuristics.Entropy()(softmax(data.logits)[..., None])[: data.query]
    if strategy == "bald":
        return lambda: heuristics.BALD()(members(data.mc_logits))[: data.query]
    targets = data.target_mc_logits
    return lambda: heuristics.EPIG()(members(data.mc_logits), members(targets))[: data.query]


def lightly_mundig(strategy: str, data: Data) -> Choice:
    """lightly-mundig, whose diversity is k-center; it counts the labeled items as selected."""
    from lightly_mundig import Selection

    everything = np.concatenate([data.labeled, data.embeddings])
    data.labeled = data.embeddings = everything[:0]

    def choose() -> list[int]:
        selection = Selection()
        selection.add_diversifying_strategy(everything, 1.0)
        chosen = selection.run_selection(
            list(range(LABELED)), len(everything), LABELED + data.query
        )
        return [index - LABELED for index in chosen if index >= LABELED]

    return choose


@dataclass(frozen=True)
class Contender:
    """A library.

    Args:
        module: What is imported to see whether it is there.
        package: What it is called where it is installed from.
        make: Makes a choice of a strategy's name and data.
        largest: For each strategy the largest pool that it is asked to choose from.
    """

    module: str
    package: str
    make: Callable[[str, Data], Choice]
    largest: Mapping[str, float]


_MILLIONS = float("inf")
CONTENDERS: dict[str, Contender] = {
    "allencv_al": Contender("allencv_al", "allencv-al", ours, dict.fromkeys(STRATEGIES, _MILLIONS)),
    "scikit-activeml": Contender(
        "skactiveml",
        "scikit-activeml",
        scikit_activeml,
        {
            **dict.fromkeys(("entropy", "least_confidence", "margin"), 50_000),
            **dict.fromkeys(("k_center", "badge"), 50_000),
            # All pairs of items, or as many clusters as labels: minutes and gigabytes beyond
            **dict.fromkeys(("typiclust", "prob_cover", "clue", "max_herding"), 10_000),
        },
    ),
    "lightly-mundig": Contender(
        "lightly_mundig", "lightly-mundig", lightly_mundig, {"k_center": 50_000}
    ),
    "baal": Contender("baal", "baal", baal, {"entropy": 50_000, "bald": 50_000, "epig": 10_000}),
}
