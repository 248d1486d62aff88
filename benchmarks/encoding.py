"""Time encoding photographs beside loops written by hand, in one interleaved run.

    python benchmarks/encoding.py FOLDER [--images N] [--rounds N] [--json FILE]

`FOLDER` holds photographs (`cats_dogs/train` of the test data) that a ResNet-18 encodes at 224 px;
random weights cost the same as any. All contenders decode and transform by the same
functions. The plain loops go through torch's `DataLoader` in the main process; the loop by hand
decodes ahead in as many threads as ours, with the batch norms of the network folded into its
convolutions by `torch.fx` or not. In each round every contender runs once, in any order, and
its time is compared with that of the plain loop in fp32 in the same round. That embeddings agree is
checked first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scoring import FAIR, measure, summarize, table
from torch.fx.experimental.optimization import fuse
from torch.utils.data import DataLoader

from allencv_al.common.seeding import item_seed
from allencv_al.data.batch import collate, to_device
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.models.precision import has_native_bf16
from allencv_al.predictors import ImagePredictor
from allencv_al.selection import ScoringOptions, compute_outputs
from allencv_al.selection.pool.embedding_store import EmbeddingStore

SIDE, BATCH_SIZE, AHEAD = 224, 32, 64
MODEL = {
    "type": "basic_image_classifier",
    "im2im_encoder": {"type": "torchvision", "model": "resnet18"},
    "im2vec_encoder": {"type": "pool", "input_channels": 512},
}
AUGMENTATION = [{"type": "resize", "height": SIDE, "width": SIDE}, {"type": "normalize"}]
TOLERANCE = 0.02  # of the length of the embeddings; bf16 has 8 bits
CPU = torch.device("cpu")

Pair = tuple[Instance, Sample]


class Loops:
    """Loops over the same images, as one writes them by hand.

    Args:
        predictor: The network and its transforms.
        instances: The photographs.
    """

    def __init__(self, predictor: ImagePredictor, instances: Sequence[Instance]) -> None:
        self._model = predictor.model
        self._reader = predictor.dataset_reader
        self._instances = instances
        self._half, self.folded = self._copy(), self._copy()
        encoder: Any = self.folded._im2im_encoder
        encoder.model = fuse(encoder.model)
        for model in (self._half, self.folded):
            model.to(torch.bfloat16, memory_format=torch.channels_last)
        self._threads = os.cpu_count() or 1

    def _copy(self) -> Model:
        model = Model.from_params(MODEL, vocab=self._model.vocab)
        model.load_state_dict(self._model.state_dict())
        return model.eval()

    def _load(self, instance: Instance) -> Pair:
        return instance, self._reader.load(instance, item_seed(0, 0, instance.id))

    def _tensor(self, pairs: Sequence[Pair], order: torch.memory_format) -> torch.Tensor:
        batch = collate(*zip(*pairs, strict=True))
        return to_device(batch, CPU, self._reader.deferred, order)["image"]

    def plain(self) -> np.ndarray:
        """Decode, then encode, by a `DataLoader`, in fp32."""
        return np.concatenate([self._model.embed(image).numpy() for image in self._batches(False)])

    def plain_half(self) -> np.ndarray:
        """Do the same in bf16 with channels last."""
        images = (image.to(torch.bfloat16) for image in self._batches(True))
        return np.concatenate([self._half.embed(image).float().numpy() for image in images])

    def _batches(self, channels_last: bool) -> Iterator[torch.Tensor]:
        order = torch.channels_last if channels_last else torch.contiguous_format

        class Photographs(torch.utils.data.Dataset[Pair]):
            def __len__(this) -> int:  # noqa: N805
                return len(self._instances)

            def __getitem__(this, index: int) -> Pair:  # noqa: N805
                return self._load(self._instances[index])

        def stack(pairs: list[Pair]) -> torch.Tensor:
            return self._tensor(pairs, order)

        return iter(DataLoader(Photographs(), BATCH_SIZE, collate_fn=stack))

    def by_hand(self) -> np.ndarray:
        """Encode in bf16 with channels last, while threads decode the next batches."""
        return self._by_hand(self._half)

    def by_hand_folded(self) -> np.ndarray:
        """Do the same with a network whose batch norms are folded."""
        return self._by_hand(self.folded)

    def _by_hand(self, model: Model) -> np.ndarray:
        rows, left = [], iter(self._instances)
        with ThreadPoolExecutor(self._threads) as pool:
            futures = [pool.submit(self._load, one) for one in islice(left, AHEAD)]
            while futures:
                pairs = [future.result() for future in futures[:BATCH_SIZE]]
                futures = futures[BATCH_SIZE:]
                futures += [pool.submit(self._load, one) for one in islice(left, len(pairs))]
                image = self._tensor(pairs, torch.channels_last).to(torch.bfloat16)
                rows.append(model.embed(image).float().numpy())
        return np.concatenate(rows)


def contenders(folder: Path, count: int, scratch: Path) -> tuple[dict[str, Callable[[], Any]], int]:
    """Return what is timed, by name, and the number of photographs."""
    reader = DatasetReader.from_params(
        {"type": "image_classification_directory", "augmentation": AUGMENTATION}
    )
    instances = list(reader.read(folder))[:count]
    torch.manual_seed(0)
    model = Model.from_params(MODEL, vocab=Vocabulary({"labels": {"cat": 1, "dog": 1}})).eval()
    predictor = ImagePredictor(model, reader)
    loops = Loops(predictor, instances)
    kept = EmbeddingStore(scratch / "kept")

    def ours(precision: str, store: EmbeddingStore | None = None) -> np.ndarray:
        options = ScoringOptions(precision=precision, description=None, store=store)
        return np.array(
            compute_outputs(predictor, instances, {"embeddings"}, None, options).embeddings
        )

    def into_a_store() -> np.ndarray:
        with tempfile.TemporaryDirectory(dir=scratch) as new:
            return ours("bf16", EmbeddingStore(Path(new)))

    image = loops._tensor([loops._load(one) for one in instances[:BATCH_SIZE]], torch.channels_last)

    def alone() -> None:
        for _ in range(-(-len(instances) // BATCH_SIZE)):
            loops.folded.embed(image.to(torch.bfloat16))

    return {
        "plain loop, fp32": loops.plain,
        "plain loop, fp32, again (A/A)": loops.plain,
        "plain loop, bf16, channels last": loops.plain_half,
        "the same by hand, decoding in threads": loops.by_hand,
        "... and with batch norms folded": loops.by_hand_folded,
        "the folded network alone": alone,
        "`compute_outputs`, fp32": lambda: ours("fp32"),
        "`compute_outputs`, bf16": lambda: ours("bf16"),
        "... into a new store": into_a_store,
        "... from the store": lambda: ours("bf16", kept),
    }, len(instances)


def check_equal_work(runs: dict[str, Callable[[], Any]]) -> str:
    """Run each once; return what was compared, or exit if embeddings differ."""
    reference, worst = None, 0.0
    for name, run in runs.items():
        rows = run()
        if rows is None:
            continue
        reference = rows if reference is None else reference
        distance = float(np.linalg.norm(rows - reference) / np.linalg.norm(reference))
        worst = max(worst, distance)
        if not distance <= TOLERANCE:
            sys.exit(f"unequal work: {name}: {distance:g} of the length apart")
    return f"equal work: embeddings differ by {worst:.1g} of their length at most"


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photographs")
    parser.add_argument("--images", type=int, default=256, help="images (default: 256)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    if arguments.rounds < 2 or arguments.images < BATCH_SIZE:
        parser.error(f"expected at least 2 rounds of at least {BATCH_SIZE} images")
    conditions = {
        "rounds": arguments.rounds,
        "native_bf16": has_native_bf16(CPU),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        runs, count = contenders(arguments.folder, arguments.images, Path(scratch))
        equal = check_equal_work(runs)
        results = measure(runs, arguments.rounds)
    conditions |= {"images": count, "load_after": round(os.getloadavg()[0], 1)}
    names = list(runs)
    lines = [summarize(name, names[0], results, count) for name in names]
    same = lines[1]["wall"]
    fair = FAIR[0] <= same <= FAIR[1]
    print(json.dumps(conditions))
    print(f"{equal}\n\n{table(lines)}\n")
    for name in names[3:5]:
        ratio = summarize("`compute_outputs`, bf16", name, results, count)["wall"]
        print(f"`compute_outputs`, bf16: {1 / ratio:.2f} x the speed of: {name}")
    print(
        f"A/A: {same:.3f}: {'valid' if fair else 'INVALID, the machine is too busy: run it again'}"
    )
    if arguments.json:
        report = {"conditions": conditions, "lines": lines}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
