"""What a user's own component does wrong is one good error that names the component."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.user_mistakes import error_of

ENCODER = """
def __init__(self):
    super().__init__()
    self.c = torch.nn.Conv2d(3, 4, 1)
def get_input_channels(self):
    return 3
"""
VECTORS = """
def get_input_channels(self):
    return 4
def get_output_dim(self):
    return 4
"""
MODEL = """
def __init__(self, vocab):
    super().__init__(vocab)
    self.linear = torch.nn.Linear(192, 2)
def forward(self, image, label=None):
    x = self.linear(image.flatten(1))
    loss = torch.nn.functional.cross_entropy(x, label, reduction="none")
    return {}
"""
SCHEDULE = """
def __init__(self, optimizer):
    super().__init__(optimizer)
def get_values(self):
    return {}
"""


def model(result: str, more: str = "") -> str:
    return MODEL.format(result) + more


def apply(result: str) -> str:
    return f"def apply(self, sample, generator):\n    return {result}"


def read(result: str) -> str:
    return f"def _read(self, path):\n    for file in path.glob('*/*.png'):\n        yield {result}"


GOOD = model("{'logits': x, 'loss': loss.mean()}")
MISTAKES = {
    "ImageTransform": [
        ("def apply(self, sample, generator):\n    pass", "expected it to return a Sample, found"),
        (apply("sample.image"), "Mine.apply: expected it to return a Sample, found ndarray"),
        (apply("replace(sample, image=sample.image[..., 0])"), "found uint8 of shape [8, 8]"),
        (apply("replace(sample, image=sample.image / 255)"), "found float64 of shape [8, 8, 3]"),
        (apply("{}['x']"), "Mine.apply: KeyError: 'x' ("),
        (
            "def apply(self, sample):\n    return sample",
            "Mine.apply(self, sample) cannot be called",
        ),
        (
            "def aply(self, sample, generator):\n    return sample",
            "Mine is abstract: it lacks apply",
        ),
        (apply("sample") + "\ndef output_size(self, height, width):\n    pass", "(height, width)"),
    ],
    "DatasetReader": [
        ("def _read(self, path):\n    pass", "(is a `yield` missing?), found None"),
        (read("file, 'cat'"), "expected it to yield Instance objects"),
        (read("self.make_instance(file, label='cat', id='x')"), 'the id "x" occurs 8 times'),
        (read("self.make_instance(file, label=3)"), "label: expected a class name"),
        (read("self.make_instance([1], label='cat')"), "image: expected a path"),
        ("def _read(self, path):\n    return {}['x']", "Mine._read: KeyError: 'x' ("),
        (read("1") + "\ndef __init__(self, **kwargs):\n    pass", "super().__init__(...)?"),
        ("def read_files(self, path):\n    return []", "Mine is abstract: it lacks _read"),
        (
            "def _read(self):\n    return []",
            "Mine._read(self) cannot be called as DatasetReader._read",
        ),
    ],
    "Im2ImEncoder": [
        (
            ENCODER.split("def get_")[0] + "def forward(self, i):\n    return i",
            "get_input_channels",
        ),
        (ENCODER, "Mine is abstract: it lacks forward"),
        (
            ENCODER + "def forward(self, i):\n    pass",
            "Mine.forward: expected it to return one tensor",
        ),
        (ENCODER + "def forward(self, i):\n    return self.c(i), 1", "found tuple"),
        (ENCODER + "def forward(self, i):\n    return self.c(i).mean((2, 3))", "not a feature map"),
        (ENCODER + "def forward(self, i):\n    return self.c(i)[0]", "a row for each image"),
        (ENCODER.replace("super().__init__()", "pass"), "lacks forward"),
        (
            ENCODER.replace("super().__init__()", "pass") + "def forward(self, i):\n    return i",
            "Mine.__init__: AttributeError: cannot assign module before Module.__init__() call (",
        ),
        (
            ENCODER + "def forward(self, i):\n    return self.c(i) if i.is_meta else {}['x']",
            "Mine.forward: KeyError: 'x' (",
        ),
        (
            ENCODER
            + "def forward(self, i):\n    return self.c(i)\ndef output_shape(self, *_):\n    1",
            "Mine.output_shape: expected it to return (channels, height, width), found None",
        ),
    ],
    "Im2VecEncoder": [
        (VECTORS, "Mine is abstract: it lacks forward"),
        (
            VECTORS.split("def get_output")[0] + "def forward(self, i):\n    1",
            "lacks get_output_dim",
        ),
        (VECTORS + "def forward(self, i):\n    pass", "vectors [B, D], here 4 x 4, found None"),
        (
            VECTORS + "def forward(self, i):\n    return i",
            "found Tensor float32 of shape [4, 4, 8, 8]",
        ),
        (VECTORS + "def forward(self, i):\n    return i.mean((2, 3))[:, :2]", "of shape [4, 2]"),
        (VECTORS + "def forward(self, i):\n    return i.mean((2, 3))[:1]", "of shape [1, 4]"),
        (VECTORS + "def forward(self, i):\n    return {}['x']", "Mine.forward: KeyError: 'x' ("),
        (
            VECTORS.replace("dim(self):\n    return 4", "dim(self):\n    return 4.0")
            + "def forward(self, i):\n    return i.mean((2, 3))",
            "Mine.get_output_dim: expected it to return an int of at least 1, found float 4.0",
        ),
    ],
    "Model": [
        (model("x"), 'Mine.forward: expected it to return a dictionary with "loss"'),
        (
            model("{'loss': loss}"),
            'as "loss" a tensor of one number, found Tensor float32 of shape [4]',
        ),
        (model("{'loss': loss.mean().item()}"), 'as "loss" a tensor of one number, found float'),
        (model("{'loss': loss.mean().detach()}"), "no detach()"),
        (GOOD.replace("image, label=None", "image"), "got an unexpected keyword argument 'label'"),
        (
            GOOD + "def get_metrics(self, reset=False):\n    pass",
            "a dictionary of metrics, found None",
        ),
        (GOOD + "def get_metrics(self, reset=False):\n    return {'a': {1}}", "found set"),
        (
            GOOD + "def get_metrics(self):\n    return {}",
            "Mine.get_metrics(self) cannot be called as",
        ),
        (
            GOOD.replace("super().__init__(vocab)", "torch.nn.Module.__init__(self)"),
            "does its __init__ call super().__init__(...)?",
        ),
        (GOOD.replace("192", "3"), "Mine.forward: RuntimeError: mat1 and mat2 shapes"),
    ],
    "Initializer": [
        ("def __call__(self, parameter, name):\n    {}['x']", "Mine.__call__: KeyError: 'x' ("),
        ("def __call__(self, parameter):\n    pass", "cannot be called as Initializer.__call__"),
        ("def fill(self, parameter):\n    pass", "Mine is abstract: it lacks __call__"),
        (
            "def __call__(self, parameter, name):\n    parameter.data = torch.zeros(3)",
            "filled in place, of shape [4, 3, 3, 3], found Parameter float32 of shape [3]",
        ),
    ],
    "TrainerCallback": [
        ("def on_epoch(self, trainer):\n    pass", "cannot be called as TrainerCallback.on_epoch"),
        ("def on_batch(self, trainer, **kwargs):\n    {}['x']", "Mine.on_batch: KeyError: 'x' ("),
        ("def on_start(self, trainer, is_primary=True):\n    {}['x']", "Mine.on_start: KeyError"),
        ("def on_end(self, *args, **kwargs):\n    {}['x']", "Mine.on_end: KeyError: 'x' ("),
        ("def state_dict(self):\n    pass", "expected it to return a dictionary, found None"),
        ("def state_dict(self):\n    return [1]", "expected it to return a dictionary, found list"),
        (
            "def __init__(self, target: str):\n    pass",
            "callbacks.0.target: missing key, expected str",
        ),
        (
            "def on_epoch(self, trainer, metrics, epoch, is_primary=True):\n    metrics['x'] = {1}",
            "Mine.on_epoch: expected it to leave metrics that are JSON, found set as x",
        ),
    ],
    "LearningRateScheduler": [
        (SCHEDULE.split("def get_")[0], "Mine is abstract: it lacks get_values"),
        (SCHEDULE.format("None"), "expected it to return 1 finite numbers, one for each parameter"),
        (SCHEDULE.format("[1.0, 2.0]"), "one for each parameter group, found list"),
        (SCHEDULE.format("['x']"), "one for each parameter group, found list"),
        (SCHEDULE.format("[float('nan')]"), "one for each parameter group, found list"),
        (SCHEDULE.format("1.0"), "one for each parameter group, found float 1.0"),
        (SCHEDULE.format("{}['x']"), "Mine.get_values: KeyError: 'x' ("),
    ],
    "Optimizer": [
        (
            "def __init__(self, model_parameters):\n    pass",
            "'param_groups': does its __init__ call",
        ),
        ("def __init__(self, model_parameters):\n    {}['x']", "Mine.__init__: KeyError: 'x' ("),
    ],
}
CASES = [(base, body, part) for base, cases in MISTAKES.items() for body, part in cases]


@pytest.mark.parametrize(("base", "body", "part"), CASES, ids=[case[0] for case in CASES])
def test_a_mistake_is_one_error_that_names_the_component(
    base: str, body: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title, lines = error_of(base, body, tmp_path, monkeypatch)
    assert part.replace("Mine", title) in "\n".join(lines), lines
    if part != "the id" and "missing key" not in part and 'the id "x"' not in part:
        assert title in "\n".join(lines), lines


def test_a_mistake_in_a_worker_process_is_told_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title, lines = error_of("ImageTransform", apply("{}['x']"), tmp_path, monkeypatch, workers=1)
    assert lines[0].startswith(f"{title}.apply: KeyError: 'x' ("), lines
    assert len(lines) == 1
