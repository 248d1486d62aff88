"""The colors of the map are told apart with each kind of color vision."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.service.labeling.app import STATIC

COLORS = STATIC / "map_colors.js"
BASE = Path(STATIC).parents[1] / "static" / "base.css"
LEAST = 20.0
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.95047], [1.0], [1.08883]])


def linear(color: str) -> NDArray[np.float64]:
    parts = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(color: str, vision: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = TO_XYZ @ (vision @ linear(color)).clip(0, 1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def palette(name: str) -> list[str]:
    found = re.search(rf"^const {name} = \[(.*?)\];", COLORS.read_text(), re.MULTILINE)
    assert found is not None
    return re.findall(r"#[0-9a-f]{6}", found[1])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("look", ["LIGHT", "DARK"])
def test_any_two_colors_differ(look: str, vision: str) -> None:
    colors = {color: lab(color, VISION[vision]) for color in palette(look)}
    assert len(colors) == 9
    distances = {
        (one, other): float(np.linalg.norm(colors[one] - colors[other]))
        for one, other in combinations(colors, 2)
    }
    assert min(distances.values()) >= LEAST, min(distances, key=distances.__getitem__)


@pytest.mark.parametrize(
    ("look", "paper"), [("LIGHT", "#ffffff"), ("DARK", "#1b1f26")], ids=["light", "dark"]
)
def test_colors_stand_out_from_the_paper(look: str, paper: str) -> None:
    assert f"--card: {'#fff' if look == 'LIGHT' else paper};" in BASE.read_text()
    of_paper = float(TO_XYZ[1] @ linear(paper))
    for color in palette(look):
        low, high = sorted((of_paper, float(TO_XYZ[1] @ linear(color))))
        assert (high + 0.05) / (low + 0.05) >= 2.5, color


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("ramp", ["RAMP", "RAMP_DARK"])
def test_the_ramp_of_uncertainty_goes_one_way_in_lightness(ramp: str, vision: str) -> None:
    lightness = [lab(color, VISION[vision])[0] for color in palette(ramp)]
    steps = np.diff(lightness)
    assert np.all(steps < -3) if ramp == "RAMP" else np.all(steps > 3)
