"""The machine-learning backend, with requests as Label Studio 1.23 sends them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.predictors import Predictor
from allencv_al.service.demo.app import create_app
from allencv_al.service.demo.label_studio_backend import parse_config

CONFIG = """<View>
  <Image name="image" value="$picture"/>
  <Choices name="animal" toName="image" choice="single">
    <Choice value="Cat"/><Choice value="Dog"/><Choice value="Emu"/>
  </Choices>
</View>"""


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the images, as a media folder of Label Studio."""
    upload = tmp_path / "media" / "upload" / "1"
    upload.mkdir(parents=True)
    (upload / "1234abcd-a.png").write_bytes(png(1))
    (upload / "1234abcd-a ü.png").write_bytes(png(4))
    (tmp_path / "media" / "b.png").write_bytes(png(2))
    (tmp_path / "secret.png").write_bytes(png(3))
    return tmp_path / "media"


@pytest.fixture
def make_client(tiny_run: Path) -> Iterator[Callable[..., FlaskClient]]:
    """Return a function that makes a client; options are those of `create_app`."""
    made = []

    def make(**options: Any) -> FlaskClient:
        made.append(create_app(tiny_run, **options))
        return made[-1].test_client()

    yield make
    for app in made:
        app.close()


def request(*images: str, config: str = CONFIG) -> dict[str, Any]:
    return {
        "tasks": [
            {
                "id": number,
                "data": {"picture": image},
                "meta": {},
                "created_at": "2026-11-26",
                "annotations": [],
                "predictions": [],
                "is_labeled": False,
                "overlap": 1,
            }
            for number, image in enumerate(images)
        ],
        "model_version": None,
        "project": "2.1764180000",
        "label_config": config,
        "params": {"login": None, "password": None, "context": None},
    }


def test_it_is_connected(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client()
    assert client.get("/label-studio/health").json["status"] == "UP"
    body = {
        "project": "2.1764180000",
        "schema": CONFIG,
        "hostname": "http://localhost:8085",
        "access_token": "abc",
        "extra_params": None,
    }
    assert client.post("/label-studio/setup", json=body).json == {"model_version": "run"}
    assert client.post("/label-studio/setup", json={**body, "schema": "<View/>"}).status_code == 422


def test_tasks_get_what_the_predictor_says(
    make_client: Callable[..., FlaskClient], folder: Path, tiny_run: Path
) -> None:
    client, predictor = make_client(image_root=folder), Predictor.from_path(tiny_run)
    data_url = "data:image/png;base64," + base64.b64encode(png(5)).decode()
    images = {
        "/data/upload/1/1234abcd-a.png": png(1),
        "/data/upload/1/1234abcd-a%20%C3%BC.png": png(4),
        "/data/local-files/?d=b.png": png(2),
        "https://labels.example.com/studio/data/local-files/?d=upload/1/1234abcd-a.png": png(1),
        "http://localhost:8080/data/upload/1/1234abcd-a.png": png(1),
        "b.png": png(2),
        str(folder / "b.png"): png(2),
        data_url: png(5),
    }
    found = client.post("/label-studio/predict", json=request(*images)).json
    assert found["model_version"] == "run"
    for result, content in zip(found["results"], images.values(), strict=True):
        expected = predictor.predict(content)
        first, second = sorted(expected["probs"])[-1:-3:-1]
        assert result["score"] == pytest.approx(first - second, abs=1e-6)
        assert result["result"] == [
            {
                "from_name": "animal",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": [expected["class"]]},
            }
        ]


@pytest.mark.parametrize(
    ("image", "cause"),
    [
        ("http://localhost:1/x.png", "fetches no URLs"),
        ("http://localhost:1/b.png", "fetches no URLs"),
        ("http://[/b.png", "fetches no URLs"),
        ("ftp://host/data/upload/1/1234abcd-a.png", "fetches no URLs"),
        ("/data/upload/%2E%2E/%2E%2E/secret.png", "no such image"),
        ("http://x/data/local-files/?d=../secret.png", "no such image"),
        ("s3://bucket/x.png", "fetches no URLs"),
        ("//host/x.png", "fetches no URLs"),
        ("file:///etc/passwd", "fetches no URLs"),
        ("../secret.png", "no such image"),
        ("/data/local-files/?d=../secret.png", "no such image"),
        ("/data/local-files/?d=/etc/passwd", "no such image"),
        ("/etc/passwd", "no such image"),
        ("", "no such image"),
        ("data:image/png;base64,AAAA", "none of the known formats"),
    ],
)
def test_an_image_that_may_not_be_read_is_said_of_its_task_alone(
    image: str, cause: str, make_client: Callable[..., FlaskClient], folder: Path
) -> None:
    client = make_client(image_root=folder)
    bad, good = client.post("/label-studio/predict", json=request(image, "b.png")).json["results"]
    assert cause in bad["error"] and "result" not in bad  # else it would be a prediction
    assert "error" not in good and good["result"]
    assert str(folder) not in str(bad)


def test_all_the_tasks_of_a_project_come_in_one_request(
    make_client: Callable[..., FlaskClient], folder: Path
) -> None:
    client, images = make_client(image_root=folder), ["b.png", "upload/1/1234abcd-a.png", "c.png"]
    found = client.post("/label-studio/predict", json=request(*images * 34)).json["results"]
    assert found == found[:3] * 34
    assert found[0] != found[1] and "error" in found[2]


def test_tasks_of_a_storage_name_no_key(
    make_client: Callable[..., FlaskClient], folder: Path
) -> None:
    body = request("b.png")
    body["tasks"][0]["data"] = {"$undefined$": "/data/local-files/?d=b.png"}
    client = make_client(image_root=folder)
    [found] = client.post("/label-studio/predict", json=body).json["results"]
    assert found["result"]


def test_an_alias_takes_the_place_of_a_class(
    make_client: Callable[..., FlaskClient], folder: Path
) -> None:
    config = CONFIG
    for name in ("Cat", "Dog", "Emu"):
        config = config.replace(f'value="{name}"', f'value="{name}" alias="the {name}"')
    client = make_client(image_root=folder)
    body = request("b.png", config=config)
    [found] = client.post("/label-studio/predict", json=body).json["results"]
    assert found["result"][0]["value"]["choices"][0] in ("the Cat", "the Dog", "the Emu")


def test_without_a_folder_no_file_is_read(make_client: Callable[..., FlaskClient]) -> None:
    [found] = make_client().post("/label-studio/predict", json=request("b.png")).json["results"]
    assert "--image-root" in found["error"]


def test_a_class_that_is_no_choice_is_said(
    make_client: Callable[..., FlaskClient], folder: Path
) -> None:
    config = CONFIG.replace("Cat", "Kat").replace("Dog", "Hund").replace("Emu", "Vogel")
    client = make_client(image_root=folder)
    [found] = client.post("/label-studio/predict", json=request("b.png", config=config)).json[
        "results"
    ]
    assert "is not a choice of the labeling config" in found["error"]


def test_webhooks_are_heard(make_client: Callable[..., FlaskClient]) -> None:
    body = {"action": "ANNOTATION_CREATED", "project": {"id": 2}, "annotation": {}, "task": {}}
    assert make_client().post("/label-studio/webhook", json=body).json == {"status": "ignored"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no tags",
        "<View>",
        "<View/>",
        '<View><Choices name="a" toName="b"/></View>',
        '<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>',
        '<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><View/>',
        "x" * 300_000,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_labeling_config_is_an_error(text: str) -> None:
    with pytest.raises(DataError, match="label_config"):
        parse_config(text)


def test_comments_and_aliases_are_understood() -> None:
    found = parse_config(
        '<View><!-- a picture --><Image name="i" value="$url"/>'
        '<Choices name="c" toName="i"><Choice alias="x"/><Choice value="a &amp; b"/></Choices>'
        "</View>"
    )
    assert (found.control, found.target, found.key) == ("c", "i", "url")
    assert found.choices == {"x": "x", "a & b": "a & b"}


def test_choices_that_come_with_the_tasks_take_any_class() -> None:
    text = '<View><Image name="i" value="$u"/><Choices name="c" toName="i" value="$all"/></View>'
    assert parse_config(text).written("cat") == "cat"
    assert parse_config(text.replace(' value="$all"', "")).written("cat") is None


def test_deep_tags_are_no_labeling_config() -> None:
    with pytest.raises(DataError, match="label_config"):
        parse_config("<a>" * 28_000 + "</a>" * 28_000)
