"""Functions are called by their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline.functions.calling import Payload, UserFunction

TRAIN = ("labeled", "resume_from", "ckpt_file")


PAYLOAD = {"labeled": [1, 2], "resume_from": None, "ckpt_file": "ckpt_0"}


ARGS: dict[str, Any] = {"lr": 0.1}


def f_payload(payload):  # type: ignore[no-untyped-def]
    return ("payload", payload)


def f_other(data):  # type: ignore[no-untyped-def]
    return ("payload", data)


def f_keywords(labeled, resume_from, ckpt_file, logdir):  # type: ignore[no-untyped-def]
    return (labeled, ckpt_file, logdir)


def f_args(args, labeled, resume_from, ckpt_file):  # type: ignore[no-untyped-def]
    return (args, labeled, ckpt_file)


def f_mnist(args, ckpt_file, labeled, resume_from):  # type: ignore[no-untyped-def]
    return (args, labeled, ckpt_file)


def f_config(config_args, labeled, ckpt_file=None):  # type: ignore[no-untyped-def]
    return (config_args, labeled, ckpt_file)


def f_config_alone(config_args):  # type: ignore[no-untyped-def]
    return (config_args,)


def f_args_alone(args):  # type: ignore[no-untyped-def]
    return (args,)


def f_state_default(args={}):  # type: ignore[no-untyped-def]  # noqa: B006  as examples have it
    return (args,)


def f_state_split(args, split="train"):  # type: ignore[no-untyped-def]
    return (args, split)


def f_nothing():  # type: ignore[no-untyped-def]
    return ()


def f_all(**kwargs):  # type: ignore[no-untyped-def]
    return kwargs


def f_keyword_only(*, labeled, args):  # type: ignore[no-untyped-def]
    return (args, labeled)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (f_payload, ("payload", PAYLOAD)),
        (f_other, ("payload", PAYLOAD)),
        (f_keywords, ([1, 2], "ckpt_0", "log")),
        (f_args, (ARGS, [1, 2], "ckpt_0")),
        (f_mnist, (ARGS, [1, 2], "ckpt_0")),
        (f_config, (ARGS, [1, 2], "ckpt_0")),
        (f_config_alone, (ARGS,)),
        (f_args_alone, (ARGS,)),
        (f_state_default, (ARGS,)),
        (f_state_split, (ARGS, "train")),
        (f_nothing, ()),
        (f_all, {**PAYLOAD, "args": ARGS, "logdir": "log", "cur_loop": 3}),
        (f_keyword_only, (ARGS, [1, 2])),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_documented_form_is_called_as_it_is_written(
    function: Callable[..., Any], expected: Any
) -> None:
    assert UserFunction(function, "train", TRAIN)(PAYLOAD, ARGS, 3, "log") == expected


def test_args_are_always_the_same_object_and_lists_are_fresh() -> None:
    payload = {**PAYLOAD, "labeled": [1, 2]}
    args, labeled, _ = UserFunction(f_args, "train", TRAIN)(payload, ARGS, 0, None)
    assert args is ARGS
    labeled.pop()
    assert payload["labeled"] == [1, 2]


def test_a_payload_has_the_documented_keys_alone() -> None:
    _, found = UserFunction(f_payload, "train", TRAIN)(PAYLOAD, ARGS, 3, "log")
    assert isinstance(found, Payload) and list(found) == list(PAYLOAD)
    assert (found.loop, found.args, found.logdir) == (3, ARGS, "log")


@pytest.mark.parametrize(
    ("convention", "function", "expected"),
    [
        ("payload", f_args_alone, (PAYLOAD,)),
        ("args", f_other, ("payload", ARGS)),
        ("kwargs", f_config, None),
    ],
)
def test_a_form_can_be_said(convention: str, function: Any, expected: Any) -> None:
    if expected is None:
        with pytest.raises(ConfigurationError, match="config_args"):
            UserFunction(function, "train", TRAIN, convention)
    else:
        assert (
            UserFunction(function, "train", TRAIN, convention)(PAYLOAD, ARGS, 0, None) == expected
        )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda labeled, batch_size: 0, "unknown required parameter batch_size"),
        (lambda args, unlabeled: 0, "unknown required parameter unlabeled"),
        (3, "expected a function, found 3"),
    ],
)
def test_what_cannot_be_called_is_found_at_once(function: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        UserFunction(function, "train", TRAIN)
    with pytest.raises(ConfigurationError, match="expected one of auto"):
        UserFunction(f_args, "train", TRAIN, "magic")
