"""Pictures: pixels where sources are, in the colours of their classes; bars and counts that agree."""

from __future__ import annotations

import numpy as np
import pytest

from dashboard.pictures import Bars, Counts, Picture, spread
from dashboard.state import Look
from galviz.catalogue import Catalogue
from galviz.draw import Viewport
from galviz.selection import OneOf, Selection

VIEW = Viewport("umap_x", "umap_y", (-12, 12), (-12, 12), 80, 60)


def alpha(pixels: np.ndarray) -> np.ndarray:
    return pixels >> 24


def test_pixels_are_painted_where_sources_are(catalogue: Catalogue) -> None:
    everything = Picture(catalogue, Selection(), VIEW, Look(), "dark").compute()
    assert everything.pixels.shape == (60, 80)
    assert np.count_nonzero(alpha(everything.pixels)) > 300
    nothing = Picture(catalogue, Selection.parse("psf_r < -99"), VIEW, Look(), "dark").compute()
    assert not alpha(nothing.pixels).any()


def test_a_class_has_its_colour(catalogue: Catalogue) -> None:
    only = Picture(catalogue, Selection.parse("class_pred == 'QSO'"), VIEW, Look(), "dark").compute()
    painted = only.pixels[alpha(only.pixels) > 0]
    seen = np.stack([painted & 255, painted >> 8 & 255, painted >> 16 & 255]).astype(int)
    # Sources that grow over each other are rounded when they are composed.
    assert np.abs(seen.T - (0xFF, 0x69, 0xB4)).max() <= 2


@pytest.mark.parametrize("look", [Look("mean", "p_quasar"), Look("spread", "psf_r"), Look("count")])
def test_values_have_a_colour_bar(catalogue: Catalogue, look: Look) -> None:
    shaded = Picture(catalogue, Selection(), VIEW, look, "light").compute()
    assert np.isfinite([shaded.low, shaded.high]).all()
    assert shaded.low < shaded.high
    assert alpha(shaded.pixels).any()


def test_bars_and_counts_agree(catalogue: Catalogue) -> None:
    selection = Selection.parse("class_pred in ['QSO', 'STAR']")
    bars = Bars(catalogue, selection, "p_best", tuple(np.linspace(0, 1, 51))).compute()
    total, by_class = Counts(catalogue, Selection((("class", OneOf("class_pred", ("QSO", "STAR"))),))).compute()
    assert bars.sum() == total
    assert bars.sum(axis=0).tolist() == [0, by_class["QSO"], by_class["STAR"]]
    assert by_class["GALAXY"] > 0, "the legend counts a class that is switched off too"


def test_a_lonely_source_grows_and_a_crowd_does_not() -> None:
    lonely = np.zeros((40, 50), np.uint32)
    lonely[0, 0] = lonely[20, 30] = 0xFF112233
    grown = spread(lonely, 2)
    assert np.count_nonzero(grown) == 4 + 9
    assert set(np.unique(grown)) == {0, 0xFF112233}
    crowd = np.full((40, 50), 0xFF112233, np.uint32)
    assert np.array_equal(spread(crowd, crowd.size), crowd)
