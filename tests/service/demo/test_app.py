"""The demo server's routes: every form of an image gives what the predictor gives."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from flask.testing import FlaskClient
from PIL import Image

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.image_io import load_image
from allencv_al.data.instance import Instance
from allencv_al.models import archive_model
from allencv_al.predictors import Predictor
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.predictors.saliency import saliency_of
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.web_settings import WebSettings

KINDS = [
    "PNG",
    "JPEG that is turned",
    "RGBA",
    "gray",
    "gray of 16 bits",
    "GIF",
    "WebP",
    "BMP",
    "TIFF",
]
Create = Callable[..., WebApp]


@pytest.fixture
def client(create: Create) -> FlaskClient:
    return create().test_client()


def file(content: bytes, name: str = "photo.bin") -> tuple[io.BytesIO, str]:
    return io.BytesIO(content), name


def data_url(content: bytes, kind: str) -> bytes:
    return f"data:image/{kind};base64,".encode() + base64.b64encode(content)


def seed_form(content: bytes) -> dict[str, Any]:
    array = load_image(content)
    return {"image": array.flatten().tolist(), "image_shape": list(array.shape)}


# -- One image --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_body_gives_what_the_predictor_gives(
    client: FlaskClient, reference: Predictor, images: dict[str, bytes], kind: str
) -> None:
    content = images[kind]
    expected = reference.predict(content)
    answers = [
        client.post("/predict", data=content, content_type="image/png"),
        client.post("/predict", data=content),
        client.post("/predict", data=content, content_type="application/x-www-form-urlencoded"),
        client.post("/predict", data={"whatever": file(content)}),
        client.post("/predict", data=data_url(content, "jpeg"), content_type="image/jpeg"),
        client.post("/predict", data=data_url(content, "png"), content_type="text/plain"),
        client.post("/predict", data=data_url(content, "x-unknown")),
        client.post("/predict", json=seed_form(content)),
        client.post("/predict", json={"image": load_image(content).tolist()}),
        client.post("/predict", json={"image": data_url(content, "webp").decode()}),
        client.post("/predict", json=data_url(content, "webp").decode()),
        client.post("/predict", data=b"\n " + json.dumps(seed_form(content)).encode()),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.get_data(as_text=True)
        assert answer.get_json() == expected


def test_the_answer_has_the_four_keys_and_tells_the_time(
    client: FlaskClient, images: dict[str, bytes]
) -> None:
    answer = client.post("/predict", data=images["PNG"])
    assert set(answer.get_json()) == {"logits", "probs", "prediction", "class"}
    assert "decode;dur=" in answer.headers["Server-Timing"]
    assert "model;dur=" in answer.headers["Server-Timing"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no picture at all", "image"),
        (b"", "it is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "none of the known formats"),
        (b"<!doctype html><script>alert(1)</script>", "none of the known formats"),
        (b"data:image/png;base64,AAAA", "none of the known formats"),
        (b"data:text/html;base64,AAAA", "expected an image type"),
        (b'{"image": [1, 2, 3], "image_shape": [2, 2, 3]}', "image_shape"),
        (b'{"image": [1, 2, 300], "image_shape": [1, 1, 3]}', "from 0 to 255"),
        (b'{"image": "cat.jpg"}', "expected a data URL"),
        (b'{"picture": []}', "picture"),
        (b"[]", "expected one image, found 0"),
    ],
)
def test_what_is_no_image_is_a_422_that_says_so(
    client: FlaskClient, body: bytes, message: str
) -> None:
    answer = client.post("/predict", data=body)
    assert answer.status_code == 422
    assert message in answer.get_json()["error"]["message"]


def test_a_cut_off_image_is_a_422(client: FlaskClient, images: dict[str, bytes]) -> None:
    answer = client.post("/predict", data=images["PNG"][:200])
    assert answer.status_code == 422
    assert "cannot be read as an image" in answer.get_json()["error"]["message"]


def test_json_that_is_none_is_a_400(client: FlaskClient) -> None:
    for body in (b'{"image": [1,', b'{"image": [NaN]}', b"[" * 1000):
        assert client.post("/predict", data=body).status_code == 400


def test_too_many_pixels_are_refused_by_the_header(create: Create) -> None:
    client = create(settings=WebSettings(max_pixels=300)).test_client()
    stream = io.BytesIO()
    Image.new("RGB", (20, 16)).save(stream, "PNG")
    answer = client.post("/predict", data=stream.getvalue())
    assert answer.status_code in (413, 422)
    assert "pixels" in answer.get_json()["error"]["message"]


def test_several_files_go_to_the_other_route(client: FlaskClient, images: dict[str, bytes]) -> None:
    several = {"a": file(images["PNG"]), "b": file(images["gray"])}
    answer = client.post("/predict", data=several)
    assert answer.status_code == 422
    assert "several go to /predict_batch" in answer.get_json()["error"]["message"]
    assert client.post("/predict", data={"text": "none"}).status_code in (400, 422)


# -- Old clients ------------------------------------------------------------------------------


def test_a_path_is_refused_with_the_reason(client: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"x")
    answer = client.post("/predict", json={"image_path": str(tmp_path / "cat.png")})
    assert 400 <= answer.status_code < 500
    assert "--image-root" in answer.get_json()["error"]["message"]


def test_a_path_works_below_the_root_only(
    create: Create, reference: Predictor, images: dict[str, bytes], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "in.png").write_bytes(images["PNG"])
    (tmp_path / "out.png").write_bytes(images["PNG"])
    (root / "link.png").symlink_to(tmp_path / "out.png")
    client = create(image_root=root).test_client()
    inside = client.post("/predict", json={"image_path": "in.png"})
    assert inside.get_json() == reference.predict(images["PNG"])
    for path in ("../out.png", str(tmp_path / "out.png"), "link.png"):
        answer = client.post("/predict", json={"image_path": path})
        assert answer.status_code == 422
        assert str(tmp_path) not in answer.get_data(as_text=True)


# -- Several images ---------------------------------------------------------------------------


def close_to(found: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    same = found["class"] == expected["class"]
    return same and found["logits"] == pytest.approx(expected["logits"], abs=1e-5)


def test_a_batch_answers_in_order_with_an_error_for_each_wrong_one(
    client: FlaskClient, reference: Predictor, images: dict[str, bytes]
) -> None:
    requests: list[Any] = [
        seed_form(images["PNG"]),
        {"image_path": "/etc/passwd"},
        data_url(images["gray"], "png").decode(),
        {"image": data_url(b"no picture", "png").decode()},
        7,
        {"image": data_url(images["RGBA"], "png").decode()},
    ]
    answer = client.post("/predict_batch", json=requests)
    assert answer.status_code == 200
    rows = answer.get_json()
    assert close_to(rows[0], reference.predict(images["PNG"]))
    assert close_to(rows[2], reference.predict(images["gray"]))
    assert close_to(rows[5], reference.predict(images["RGBA"]))
    assert [set(rows[place]) for place in (1, 3, 4)] == [{"error"}] * 3
    assert "--image-root" in rows[1]["error"]["message"]


def test_a_form_with_several_files_is_a_batch(
    client: FlaskClient, reference: Predictor, images: dict[str, bytes]
) -> None:
    files = [file(images["PNG"]), file(b"no picture"), file(images["GIF"])]
    rows = client.post("/predict_batch", data={"images": files}).get_json()
    assert close_to(rows[0], reference.predict(images["PNG"]))
    assert "none of the known formats" in rows[1]["error"]["message"]
    assert close_to(rows[2], reference.predict(images["GIF"]))


def test_data_urls_in_a_form_are_read(
    client: FlaskClient, reference: Predictor, images: dict[str, bytes]
) -> None:
    urls = [data_url(images[kind], "png").decode() for kind in ("PNG", "gray")]
    found = client.post("/predict", data={"image": urls[0]}, content_type="multipart/form-data")
    assert found.json["logits"] == pytest.approx(reference.predict(images["PNG"])["logits"])
    form = {"images": [*urls, "data:image/png;base64,###"], "comment": "no image"}
    found = client.post("/predict_batch", data=form, content_type="multipart/form-data")
    assert [set(row) == {"error"} for row in found.json] == [False, False, True]
    assert found.json[1]["logits"] == pytest.approx(reference.predict(images["gray"])["logits"])


def test_a_form_of_files_and_data_urls_has_no_order(
    client: FlaskClient, images: dict[str, bytes]
) -> None:
    form = {"a": file(images["PNG"]), "b": data_url(images["PNG"], "png").decode()}
    found = client.post("/predict_batch", data=form)
    assert found.status_code == 422
    assert "expected files or data URLs, found both" in found.text


@pytest.mark.parametrize("field", ["image=data:image/png;base64,AA", "a%5B%5D=data%3Aimage%2Fpng"])
def test_a_data_url_in_a_form_of_one_line_is_refused_by_name(
    client: FlaskClient, field: str
) -> None:
    kind = "application/x-www-form-urlencoded"
    found = client.post("/predict", data=field.replace("%5B%5D", "[]"), content_type=kind)
    assert found.status_code == 415
    assert f"expected multipart/form-data (curl -F), found {kind}" in found.text


def test_a_compressed_image_is_refused_by_name(
    client: FlaskClient, images: dict[str, bytes]
) -> None:
    content = gzip.compress(images["PNG"])
    found = client.post("/predict", data=content, headers={"Content-Encoding": "gzip"})
    assert found.status_code == 415
    assert "Content-Encoding: expected none, found gzip" in found.text


def test_more_images_than_may_be_are_refused(create: Create, images: dict[str, bytes]) -> None:
    client = create(settings=WebSettings(max_images=2)).test_client()
    url = data_url(images["PNG"], "png").decode()
    assert client.post("/predict_batch", json=[url] * 2).status_code == 200
    answer = client.post("/predict_batch", json=[url] * 3)
    assert answer.status_code == 413
    assert "at most 2 images, found 3" in answer.get_json()["error"]["message"]


def test_a_batch_of_nothing_is_a_mistake(client: FlaskClient) -> None:
    answer = client.post("/predict_batch", json=[])
    assert answer.status_code == 422
    assert "found no image" in answer.get_json()["error"]["message"]


# -- Saliency ---------------------------------------------------------------------------------


def test_the_overlay_is_that_of_the_predictor(
    client: FlaskClient, reference: Predictor, images: dict[str, bytes]
) -> None:
    for name in ("PNG", "JPEG that is turned"):
        answer = client.post("/saliency", data=images[name])
        assert (answer.status_code, answer.mimetype) == (200, "image/png")
        overlay = Image.open(io.BytesIO(answer.data))
        # Of the upright image, at the size of the page
        height, width = load_image(images[name]).shape[:2]
        assert max(overlay.size) == 448
        assert overlay.width / overlay.height == pytest.approx(width / height, abs=0.01)
        expected = saliency_of(reference, images[name]).overlay(overlay.size)
        assert list(overlay.tobytes()) == list(expected.tobytes())


def test_the_class_may_be_chosen(client: FlaskClient, images: dict[str, bytes]) -> None:
    found = {
        client.post("/saliency", query_string={"class": name}, data=images["PNG"]).data
        for name in ("Cat", "Dog", "Emu")
    }
    assert len(found) == 3


@pytest.mark.parametrize(
    ("query", "body", "status", "message"),
    [
        ({"class": "Cow"}, None, 422, '"Cow" is no class of the model'),
        ({"klass": "Cat"}, None, 422, "klass"),
        ({"class": "x" * 5000}, None, 422, "1000"),
        ({}, b"nothing", 422, "cannot be read as an image"),
        ({}, b"", 422, "image"),
    ],
)
def test_what_has_no_saliency_is_refused_with_the_reason(
    client: FlaskClient,
    images: dict[str, bytes],
    query: dict[str, str],
    body: bytes | None,
    status: int,
    message: str,
) -> None:
    data = images["PNG"] if body is None else body
    answer = client.post("/saliency", query_string=query, data=data)
    assert answer.status_code == status
    assert message in answer.get_json()["error"]["message"]


# -- What the page asks for -------------------------------------------------------------------


def test_the_info_that_the_page_needs(create: Create) -> None:
    info = create(title="<b>Cats & dogs").test_client().get("/api/info").get_json()
    assert info["title"] == "<b>Cats & dogs"
    assert info["classes"] == ["Cat", "Dog", "Emu"]
    assert info["samples"] == 0
    assert info["explains"]
    assert info["input_size"] == [8, 8]
    assert info["max_body_bytes"] == 16 * 2**20


def test_samples_of_the_archive_are_shown(
    create: Create, tiny_run: Path, images: dict[str, bytes]
) -> None:
    (tiny_run / "samples").mkdir()
    (tiny_run / "samples" / "00.png").write_bytes(images["PNG"])
    (tiny_run / "samples" / "01.jpg").write_bytes(images["JPEG that is turned"])
    client = create(archive_model(tiny_run)).test_client()
    assert client.get("/api/info").get_json()["samples"] == 2
    first, second = client.get("/api/samples/0"), client.get("/api/samples/1")
    assert (first.data, first.mimetype) == (images["PNG"], "image/png")
    assert second.mimetype == "image/jpeg"
    assert client.get("/api/samples/2").status_code == 404


def test_the_page_and_its_parts_are_there(client: FlaskClient) -> None:
    page = client.get("/")
    assert page.mimetype == "text/html"
    text = page.get_data(as_text=True)
    for part in ("style=", "onclick=", "<style", "http://", "https://"):
        assert part not in text
    for address in ("static/base.css", "static/demo/demo.css", "static/demo/main.js"):
        assert address in text
        assert client.get(f"/{address}").status_code == 200, address


def test_a_page_of_ones_own_takes_the_place_of_ours(create: Create, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    (folder / "deep").mkdir(parents=True)
    (folder / "index.html").write_text("<p>mine</p>")
    (folder / "deep" / "my.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    client = create(static_dir=folder).test_client()
    assert client.get("/").get_data(as_text=True) == "<p>mine</p>"
    assert client.get("/deep/my.js").get_data(as_text=True) == "1"
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/deep/../../secret.txt", "/none.js"):
        assert client.get(path).status_code == 404
    assert client.get("/api/info").status_code == 200
    with pytest.raises(ConfigurationError, match=r"expected a folder with index\.html"):
        create(static_dir=tmp_path)


def test_the_interface_is_described(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    assert {"/predict", "/predict_batch", "/api/info"} <= set(paths)


# -- Models of one's own ----------------------------------------------------------------------


@Predictor.register("demo_test_own")
class OwnPredictor(ImagePredictor):
    """Takes another key, and fails as code of one's own does."""

    def _json_to_instance(self, request: Mapping[str, Any]) -> Instance:
        return super()._json_to_instance({"image": request["photo"]})


def test_a_predictor_of_ones_own_gets_its_own_json(
    create: Create, reference: Predictor, images: dict[str, bytes]
) -> None:
    client = create(predictor="demo_test_own").test_client()
    pixels = load_image(images["PNG"]).tolist()
    answer = client.post("/predict", json={"photo": pixels})
    assert answer.get_json() == reference.predict(images["PNG"])
    wrong = client.post("/predict", json={"other": 1})
    assert wrong.status_code == 500
    assert "KeyError" not in wrong.get_data(as_text=True)
    assert client.post("/predict", data=images["PNG"]).status_code == 200


def test_weights_of_another_file_are_taken(
    create: Create, tiny_run: Path, images: dict[str, bytes], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    other = tmp_path / "other.safetensors"
    weights = load_file(tiny_run / "best.safetensors")
    save_file({name: torch.zeros_like(value) for name, value in weights.items()}, other)
    client = create(weights_file=other).test_client()
    assert client.post("/predict", data=images["PNG"]).get_json()["logits"] == [0, 0, 0]


def test_a_closed_app_refuses_and_does_not_hang(create: Create, images: dict[str, bytes]) -> None:
    app = create()
    client = app.test_client()
    app.close()
    answer = client.post("/predict", data=images["PNG"])
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


def test_the_archive_may_be_a_folder(create: Create, tiny_run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(tiny_run, tmp_path / "copy")
    assert create(copied).test_client().get("/api/info").status_code == 200
