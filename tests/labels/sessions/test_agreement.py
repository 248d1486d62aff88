"""Agreement of annotators."""

from __future__ import annotations

import pytest
from fixtures.session_answers import CAT, DOG, MakeStore, label

from allencv_al.labels.sessions.agreement import annotator_agreement


def test_agreement_counts_each_two(make_store: MakeStore) -> None:
    from sklearn.metrics import cohen_kappa_score

    store = make_store(labels_per_image=2)
    for item, (one, other) in enumerate([(CAT, CAT), (CAT, DOG), (DOG, DOG)], start=1):
        label(store, "anna", item, one)
        label(store, "ben", item, other)
    label(store, "cleo", 4, CAT)
    found = annotator_agreement(store.database)
    [pair] = found.pairs
    assert (pair.first, pair.second, pair.both, pair.agreed) == ("anna", "ben", 3, 2)
    assert pair.kappa == pytest.approx(cohen_kappa_score([1, 1, 2], [1, 2, 2]))
    assert found.answers == {"anna": 3, "ben": 3, "cleo": 1}
    assert found.conflicts == 1
