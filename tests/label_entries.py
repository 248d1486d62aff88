"""Any label entries, for property tests of the exchange formats."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from allencv_al.labels.exchange.label_entry import KINDS, LabelEntry

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)

NUMBER = st.floats(0, 2e9)

MAYBE = st.none()

JSON = st.recursive(
    MAYBE | st.booleans() | st.integers() | TEXT | st.just(""),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
).map(lambda value: json.loads(json.dumps(value)))


@st.composite
def label_entries(draw: st.DrawFn) -> LabelEntry:
    """Make any entry that can be."""
    kind = draw(st.sampled_from([*KINDS, None]))
    return LabelEntry(
        id=draw(TEXT),
        image=draw(MAYBE | TEXT),
        label=draw(TEXT) if kind == "label" else None,
        kind=kind,
        annotator=draw(MAYBE | TEXT),
        time=draw(MAYBE | NUMBER),
        seconds=draw(MAYBE | NUMBER),
        round=draw(MAYBE | st.integers(0, 10**6)),
        source=draw(MAYBE | TEXT),
        prediction=draw(MAYBE | TEXT),
        score=draw(MAYBE | st.floats(-1e6, 1e6)),
        extra=draw(
            st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=3)
        ),
    )


MANY = st.lists(label_entries(), max_size=4)
