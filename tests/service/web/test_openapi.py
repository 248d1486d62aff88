"""`/openapi.json` is valid, and says what there is."""

from __future__ import annotations

import re

import jsonschema
import pytest
from openapi_pydantic import OpenAPI

from allencv_al.service.web import WebApp


def test_it_is_a_valid_description(app: WebApp) -> None:
    found = app.test_client().get("/openapi.json").json
    OpenAPI.model_validate(found)
    for schema in found["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = set(re.findall(r"#/components/schemas/(\w+)", str(found)))
    assert references <= set(found["components"]["schemas"])


def test_it_names_every_operation_and_no_other(app: WebApp) -> None:
    found = app.test_client().get("/openapi.json").json
    described = {(method, path) for path, of in found["paths"].items() for method in of}
    is_static = re.compile(r"/static/|/login$|/$|/openapi\.json|/metrics")
    routes = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method != "HEAD" and not is_static.match(rule.rule)
    }
    assert routes <= described
    assert ("delete", "/items/{n}") in described
    answers = found["paths"]["/double"]["post"]
    assert set(answers["responses"]) >= {"200", "400", "401", "413", "422"}
    assert "Number" in str(answers["requestBody"])


@pytest.mark.parametrize("rule", ["/nothing/", "/items/", "/static/"])
def test_metrics_count_by_rule_and_not_by_address(rule: str, app: WebApp) -> None:
    client = app.test_client()
    lines = []
    for number in range(3):
        client.get(f"{rule}{number}")
        found = client.get("/metrics").get_data(as_text=True)
        assert f"{rule}{number}" not in found
        lines.append(found.count("\n"))
    assert lines[1] == lines[2]
