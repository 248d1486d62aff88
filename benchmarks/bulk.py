"""Label with a scripted annotator: pages of many images against one image after the other.

    python benchmarks/heads.py --encode CONFIG.jsonnet birds.npz    # once for each data set
    python benchmarks/bulk.py cats_dogs.npz cifar10.npz

A labeling with the real store and the real pages (`LabelingStore`, `PageGroups`); only the person
is made up. Times are those of the keystroke-level model and of the model human processor (Card,
Moran and Newell 1983): 1.35 s to decide on a class, 0.28 s for a key, 1.1 s to point, 0.1 s for the
next image; 0.3 s to look at one image of a page (an eye movement with its fixation 0.23, a decision
0.07), 0.3 s for the next page. The person errs: a wrong key for 1 of 100 single images or whole
pages, which goes unnoticed, and misses 1 of 20 odd images. Where a page has no majority, the person
takes another one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.selection.page_groups import GroupRequest, PageGroups

DECIDE, KEY, POINT, NEXT_IMAGE = 1.35, 0.28, 1.1, 0.1
LOOK, NEXT_PAGE = 0.3, 0.3
SLIP, MISS = 0.01, 0.05
SHARES = (0.25, 0.5, 0.75, 1.0)
LEAST_MAJORITY = 0.5


@dataclass
class Person:
    """A scripted annotator, who knows the true classes and works by the clock."""

    truth: dict[int, int]
    classes: int
    generator: np.random.Generator
    look: float = LOOK
    seconds: float = 0.0
    given: dict[int, int] = field(default_factory=dict)
    single: int = 0

    def one(self, store: LabelingStore, item: int) -> None:
        """Label one image."""
        self.seconds += DECIDE + KEY + NEXT_IMAGE
        self.single += 1
        said = self._key(self.truth[item])
        store.answers.add(NewAnswer("anna", f"one-{item}", item, LabelKind.LABEL, said))
        self.given[item] = said

    def page(self, store: LabelingStore, items: list[int], number: int) -> tuple[int, set[int]]:
        """Label a page; return its class, 0 without a majority, and the images taken out."""
        self.seconds += len(items) * self.look + DECIDE + KEY + NEXT_PAGE
        [(name, count)] = Counter(self.truth[item] for item in items).most_common(1)
        if count <= LEAST_MAJORITY * len(items):
            return 0, set(items)
        odd = [item for item in items if self.truth[item] != name]
        out = {item for item in odd if self.generator.random() >= MISS}
        self.seconds += len(out) * (POINT + KEY)
        said = self._key(name)
        chosen = [item for item in items if item not in out]
        labels = dict.fromkeys(chosen, (LabelKind.LABEL, said))
        store.answers.add_group("anna", f"page-{number}", labels)
        self.given.update(dict.fromkeys(chosen, said))
        return name, out

    def accuracy(self) -> float:
        """Return the share of right labels."""
        return float(np.mean([self.truth[item] == said for item, said in self.given.items()]))

    def _key(self, name: int) -> int:
        if self.generator.random() >= SLIP:
            return name
        return int(
            self.generator.choice([one for one in range(1, self.classes + 1) if one != name])
        )


def labeling(folder: Path, features: np.ndarray, classes: int) -> LabelingStore:
    """Return a labeling of images that have embeddings, and no files."""
    store = LabelingStore(folder / "labeling.sqlite")
    store.classes.add([f"class {number}" for number in range(1, classes + 1)], "owner")
    ids = [f"{number:06d}.png" for number in range(len(features))]
    store.items.open_batch([NewItem(id, Path(id)) for id in ids])
    store.vectors.add("benchmark", ids, features)
    return store


def bulk(store: LabelingStore, person: Person, size: int) -> list[tuple[int, float, float, int]]:
    """Label everything; return images, seconds, accuracy and single images at each share."""
    groups, denied = PageGroups(store), dict[int, set[str]]()
    total, found, number = len(person.truth), [], 0
    while len(person.given) < total:
        page = groups.group("anna", GroupRequest(size, denied=denied))
        items = [item.item for item, _ in page.items]
        if items:
            number += 1
            name, out = person.page(store, items, number)
            said = page.class_name or "" if not name else f"class {name}"
            for item in out:
                # Without a majority, twice: these are for the view of one image
                denied.setdefault(item, set()).update({said, *([] if name else ["none"])})
        else:
            item = store.leases.next_items("anna", 1)[0][0].item
            person.one(store, item)
        while len(found) < len(SHARES) and len(person.given) >= SHARES[len(found)] * total:
            row = (len(person.given), person.seconds, person.accuracy(), person.single)
            found.append(row)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET.npz")
    parser.add_argument("--size", type=int, default=24, metavar="N", help="images of a page")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--look", type=float, default=LOOK, metavar="SECONDS")
    args = parser.parse_args()
    print(
        "| set | labeled | labels per minute, one by one | on pages | ratio "
        "| right, one by one | on pages | of them one by one |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for path in args.sets:
        with np.load(path) as loaded:
            chosen = loaded["split"] == "train"
            features, labels = loaded["X"][chosen].astype(np.float32), loaded["y"][chosen]
        runs = [run(features, labels, seed, args.size, args.look) for seed in range(args.seeds)]
        for place in range(len(SHARES)):
            rows = np.array([pages[place] for _, pages in runs])
            alone = np.mean([accuracy for accuracy, _ in runs])
            pace = 60 / (DECIDE + KEY + NEXT_IMAGE)
            paced = float((60 * rows[:, 0] / rows[:, 1]).mean())
            print(
                f"| {path.stem} | {rows[:, 0].mean():.0f} | {pace:.0f} | {paced:.0f} "
                f"| {paced / pace:.1f} | {100 * alone:.1f} % | {100 * rows[:, 2].mean():.1f} % "
                f"| {rows[:, 3].mean():.0f} |"
            )


def run(
    features: np.ndarray, labels: np.ndarray, seed: int, size: int, look: float
) -> tuple[float, list[tuple[int, float, float, int]]]:
    """Return the accuracy one by one, and what `bulk` returns, for one order of the images."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(features))
    classes = int(labels.max()) + 1
    truth = {place + 1: int(labels[row]) + 1 for place, row in enumerate(order)}
    with tempfile.TemporaryDirectory() as folder:
        with labeling(Path(folder) / "one", features[order], classes) as store:
            alone = Person(truth, classes, generator)
            for item in truth:
                alone.one(store, item)
        with labeling(Path(folder) / "bulk", features[order], classes) as store:
            person = Person(truth, classes, generator, look)
            return alone.accuracy(), bulk(store, person, size)


if __name__ == "__main__":
    main()
