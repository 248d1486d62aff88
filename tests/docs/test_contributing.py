"""Each row of the table in CONTRIBUTING.md leads to a change that works: a dummy follows it.

One copy of the package gets all dummies, where the rows say; then one process uses them.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROWS = {
    re.sub(r"\[(.*?)\]\(.*?\)", r"\1", cells[0]).strip("| "): " | ".join(cells[1:])
    for line in (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and len(cells := line.split(" | ")) >= 3
}


@dataclass(frozen=True)
class Recipe:
    """What a contributor does for one row.

    Args:
        use: An expression in `SCRIPT` whose value is a text.
        expected: What this text must contain.
        files: New files by their paths in the package.
        lines: Entries by the table they are added to; the row says in which file that is.
        edits: By a file of the row, a pattern and what replaces its first occurrence.
        appended: By a file of the row, what is added at its end.
    """

    use: str
    expected: str
    files: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    appended: Mapping[str, str] = field(default_factory=dict)


def example(page: str, place: int = 0) -> str:
    """Return the imports of a docs page, from modules as the package has them, and a class."""
    text = (REPOSITORY / "docs" / "how_to" / "extend" / page).read_text(encoding="utf-8")
    [code, *_] = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    parts = code.split("\n\n\n")
    classes = [part for part in parts if part.startswith("@")]
    imports = re.sub(r"^from (allencv_al[\w.]*) import (.*)$", deep_imports, parts[0], flags=re.M)
    return f"{imports}\n\n\n{classes[place]}\n"


def deep_imports(match: re.Match[str]) -> str:
    """Return the lines that import names of a public package from where they are defined."""
    package = importlib.import_module(match[1])
    return "\n".join(
        f"from {getattr(package, name).__module__} import {name}" for name in match[2].split(", ")
    )


def component(family: str, base: str, folder: str, name: str, source: str) -> Recipe:
    """Return the recipe of a registered class: its file, and its name in the table of the base."""
    module = f"allencv_al.{folder.replace('/', '.')}.{name}"
    return Recipe(
        use=f'printed("describe", "{family}", "{name}")',
        expected=module,
        files={f"{folder}/NAME.py".replace("NAME", name): source},
        lines={f"{base}.builtin": f'"{name}": "{module}"'},
    )


SCHEDULER = '''\
from allencv_al.training.learning_rate_schedulers.base import LearningRateScheduler


@LearningRateScheduler.register("always_one")
class AlwaysOne(LearningRateScheduler):
    """One, for ever."""

    def get_values(self):
        return [1.0 for _ in self.optimizer.param_groups]
'''
OPTIMIZER = '''\
import torch

from allencv_al.training.optimizers.base import Optimizer


@Optimizer.register("stand_still")
class StandStill(Optimizer, torch.optim.SGD):
    """Takes steps of length 0."""

    def __init__(self, model_parameters):
        super().__init__([parameter for _, parameter in model_parameters], lr=0.0)
'''
DECODER = '''


@ImageDecoder.register("coarsest")
class CoarsestMap(ImageDecoder):
    """Returns the coarsest map."""

    @overrides
    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return maps[-1]
'''
FORMAT = """\
import json

from allencv_al.labels.exchange.label_entry import entry_of


def write(records):
    return json.dumps([[record.id, record.label] for record in records])


def read(text, where):
    return [entry_of({"id": id, "label": label}, {}) for id, label in json.loads(text)]
"""
COMMAND = """\
import sys


def add_arguments(parser):
    parser.add_argument("word")


def run(args):
    sys.stdout.write(f"{args.word}!")
    return 0
"""
PAGE = """\
from pathlib import Path

from allencv_al.service.web.app import WebApp
from allencv_al.service.web.web_settings import WebSettings


def create_app():
    app = WebApp("dummy", WebSettings(), "Dummy")
    app.page("/", Path(__file__).parent / "static" / "index.html")
    return app
"""
RECIPES = {
    "dataset reader": component(
        *("dataset_reader", "DatasetReader", "data/dataset_readers", "by_file_name"),
        example("reader.md"),
    ),
    "image transform": component(
        *("image_transform", "ImageTransform", "data/transforms", "darken"),
        example("transform.md"),
    ),
    "im2im encoder": component(
        *("im2im_encoder", "Im2ImEncoder", "modules/im2im_encoders", "one_convolution"),
        example("encoder.md"),
    ),
    "im2vec encoder": component(
        *("im2vec_encoder", "Im2VecEncoder", "modules/im2vec_encoders", "maximum"),
        example("encoder.md", 1),
    ),
    "image encoder": component(
        *("image_encoder", "ImageEncoder", "modules/image_encoders", "two_scales"),
        example("encoder.md", 2),
    ),
    "image decoder, from maps to masks": Recipe(
        use='printed("describe", "image_decoder", "coarsest")',
        expected="Returns the coarsest map.",
        lines={"ImageDecoder.builtin": '"coarsest": "allencv_al.modules.image_decoders"'},
        appended={"modules/image_decoders.py": DECODER},
    ),
    "metric": component("metric", "Metric", "metrics", "mean_confidence", example("metric.md")),
    "model": component("model", "Model", "models", "mean_color", example("model.md")),
    "callback": component(
        *("trainer_callback", "TrainerCallback", "training/callbacks", "overfitting_gap"),
        example("callback.md"),
    ),
    "learning rate scheduler": component(
        "learning_rate_scheduler",
        "LearningRateScheduler",
        "training/learning_rate_schedulers",
        *("always_one", SCHEDULER),
    ),
    "optimizer": component(
        "optimizer", "Optimizer", "training/optimizers", "stand_still", OPTIMIZER
    ),
    "query strategy": component(
        *("query_strategy", "QueryStrategy", "selection/strategies", "low_peak"),
        example("strategy.md"),
    ),
    "annotator": component(
        "annotator", "Annotator", "labels/annotators", "file_names", example("annotator.md")
    ),
    "stop rule": Recipe(
        use='printed("describe", "stop_rule", "time_spent")',
        expected="Total training time.",
        lines={"StopRule.builtin": '"time_spent"'},
        appended={"active_learning/stop_rules/rules.py": example("stop_rule.md")},
    ),
    "label task": component(
        "label_task", "LabelTask", "tasks", "object_count", example("label_task.md")
    ),
    "finding of the audit": Recipe(
        use="findings()",
        expected="Dummy images: dummy, 0.5",
        lines={
            "FindingKind": '"dummy"',
            "TITLES": '"dummy": "Dummy images"',
            "_HINTS": '"dummy": "A hint."',
            "ASKED_KINDS": '"dummy"',
        },
        edits={
            "data_audit/image_checks.py": (
                r"( +)yield from _odd_sizes\(facts\.sizes\)\n",
                r"\g<0>\1yield Odd('dummy', 0, 0.5, 'a dummy')\n",
            )
        },
    ),
    "exchange format": Recipe(
        use='printed("export-labels", "--help") + round_trip("dummy")',
        expected='[["a.png", "cat"]]',
        files={"labels/exchange/dummy_format.py": FORMAT},
        lines={
            "TEXT_FORMATS": '"dummy": TextFormat(dummy_format.write, dummy_format.read)',
            "FORMATS": '"dummy"',
        },
        edits={
            "labels/exchange/formats.py": (
                "\nfrom allencv_al",
                "\nfrom allencv_al.labels.exchange import dummy_format\nfrom allencv_al",
            )
        },
    ),
    "field of the report": Recipe(
        use='report({"accuracy": 0.5, "dummy": 0.25})',
        expected="Dummy figure",
        lines={
            "METRICS": '"dummy"',
            "_METRICS": '"dummy": ("Dummy figure", "A dummy figure")',
        },
        edits={
            "active_learning/rounds/round_metrics.py": (
                r'( +)"negative_log_likelihood": float\(likelihood\),',
                r'\1"dummy": 0.25,\n\g<0>',
            )
        },
    ),
    "key of the trainer": Recipe(
        use='printed("describe", "trainer", "gradient_descent")',
        expected="dummy: int, default 7\n      A dummy key.",
        edits={
            "training/trainers/gradient_descent_trainer.py": (
                r"(?s)(    Args:\n)(.*?)(\n        \*\*options: Any,\n)",
                r"\1        dummy: A dummy key.\n\2\n        dummy: int = 7,\3",
            )
        },
    ),
    "command": Recipe(
        use='printed("dummy", "word")',
        expected="word!",
        files={"commands/dummy.py": COMMAND},
        lines={"SUBCOMMANDS": '"dummy": "do nothing"'},
    ),
    "page": Recipe(
        use="page()",
        expected="<h1>Dummy</h1>",
        files={
            "service/dummy/__init__.py": "",
            "service/dummy/app.py": PAGE,
            "service/dummy/static/index.html": "<!doctype html><title>Dummy</title><h1>Dummy</h1>",
        },
    ),
}
SCRIPT = """
import contextlib, io, json, sys, traceback
from pathlib import Path
from allencv_al.__main__ import main

def printed(*arguments):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main(list(arguments)) == 0
    return text.getvalue()

def round_trip(name):
    from allencv_al.labels.exchange.formats import TEXT_FORMATS
    return TEXT_FORMATS[name].write(TEXT_FORMATS[name].read('[["a.png", "cat"]]', "here"))

def report(metrics):
    from allencv_al.active_learning import RoundRecord
    from allencv_al.active_learning.report.run_report import RunContext, write_run_report
    records = [RoundRecord(round=1, labels=10, metrics=metrics)]
    return write_run_report(Path(), records, RunContext("run")).read_text()

def findings():
    import numpy as np
    from allencv_al.commands.shared.finding_queue import ASKED_KINDS
    from allencv_al.data_audit.audit_report import TITLES
    from allencv_al.data_audit.findings import KINDS
    from allencv_al.data_audit.image_checks import odd_images
    from allencv_al.data_audit.image_facts import ImageFacts
    one = np.ones(1, np.float32)
    facts = ImageFacts(np.full((1, 2), 9), one, 0 * one, one, np.zeros((1, 32, 32), np.uint8))
    found = [odd for odd in odd_images(facts) if odd.kind in KINDS and odd.kind in ASKED_KINDS]
    return "".join(f"{TITLES[odd.kind]}: {odd.kind}, {odd.score}" for odd in found)

def page():
    from allencv_al.service.dummy.app import create_app
    app = create_app()
    text = app.test_client().get("/").text
    app.close()
    return text

found = {}
for row, use in json.loads(sys.argv[1]).items():
    try:
        found[row] = eval(use)
    except BaseException:
        found[row] = traceback.format_exc()
print(json.dumps(found))
"""


def add_entry(path: Path, table: str, entry: str) -> None:
    """Add an entry at the beginning of the mapping or tuple that is assigned to `table`."""
    text = path.read_text(encoding="utf-8")
    opening = re.search(
        rf"^ *{table}\b[^=\n]*= *(?:dict\.fromkeys\(\s*|Literal)?[({{\[]", text, re.MULTILINE
    )
    assert opening is not None, f"{path} has no {table}"
    path.write_text(f"{text[: opening.end()]}{entry}, {text[opening.end() :]}", encoding="utf-8")


def follow(row: str, recipe: Recipe, package: Path) -> None:
    """Do what a row says, in the files that it names."""
    for name, source in recipe.files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(source, encoding="utf-8")
    for table, entry in recipe.lines.items():
        named = re.search(rf"`{re.escape(table)}` (?:in|of) `([\w/]+\.py)`", ROWS[row])
        assert named is not None, f"the row {row} does not name {table}"
        add_entry(package / named[1], table.rpartition(".")[2], entry)
    for name, source in recipe.appended.items():
        assert f"`{name}`" in ROWS[row]
        with (package / name).open("a", encoding="utf-8") as file:
            file.write(source)
    for name, (pattern, replacement) in recipe.edits.items():
        assert f"`{name}`" in ROWS[row]
        text, count = re.subn(pattern, replacement, (package / name).read_text("utf-8"), count=1)
        assert count == 1, name
        (package / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, with a dummy for every row."""
    folder = tmp_path_factory.mktemp("contribution")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("allencv_al", ".ci"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for row, recipe in RECIPES.items():
        follow(row, recipe, folder / "allencv_al")
    new = (Path(name) for recipe in RECIPES.values() for name in recipe.files)
    tests = [f"tests/{path.parent}/test_{path.name}" for path in new if path.suffix == ".py"]
    tests += [str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("tests/**/test_*.py")]
    for name in tests:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module")
def found(checkout: Path) -> dict[str, str]:
    """What the dummies do, by row."""
    uses = json.dumps({row: recipe.use for row, recipe in RECIPES.items()})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, uses],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    texts: dict[str, str] = json.loads(done.stdout)
    return texts


def test_the_layout_is_sound_with_all_of_them(checkout: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(checkout / ".ci" / "house.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""


def test_every_row_has_a_dummy() -> None:
    assert set(ROWS) - set(RECIPES) == {"to add a"}


@pytest.mark.parametrize("row", RECIPES)
def test_what_a_row_says_works(row: str, found: dict[str, str]) -> None:
    assert RECIPES[row].expected in found[row]


@pytest.mark.parametrize("row", RECIPES)
def test_a_row_names_the_new_files(row: str) -> None:
    for name in RECIPES[row].files:
        folder = name.rpartition("/")[0] if "static" in name else name
        shown = re.sub(r"(?<=/)(dummy(?=/)|\w+(?=\.py$))", "NAME", folder, count=1)
        assert "__init__" in name or f"`{shown}" in ROWS[row]
