"""Requests are counted by route, and by known methods only."""

from __future__ import annotations

from allencv_al.service.web.request_metrics import RequestMetrics


def test_answers_are_counted_with_their_seconds() -> None:
    metrics = RequestMetrics()
    for seconds in (0.002, 0.2):
        metrics.observe("GET", "/health", 200, seconds)
    metrics.observe("SPAM", "/health", 405, 0.1)
    lines = metrics.text().decode().splitlines()
    assert 'http_requests_total{method="GET",route="/health",status="200"} 2.0' in lines
    assert 'http_requests_total{method="other",route="/health",status="405"} 1.0' in lines
    bucket = 'http_request_seconds_bucket{le="0.005",method="GET",route="/health"} 1.0'
    assert bucket in lines
    assert 'http_request_seconds_sum{method="GET",route="/health"} 0.202' in lines
