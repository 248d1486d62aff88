"""What a token of a pipeline may allow."""

from __future__ import annotations

SCOPES = ("train", "test", "infer", "state", "loop")
