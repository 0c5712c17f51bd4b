"""What a user does with the page, and what a user sees."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page

VIEWS = ("gv-view-umap", "gv-view-sky", "gv-view-cmd")
PATIENCE = 30.0


def count(page: Page) -> int:
    """The number of sources that the sentence says are selected."""
    return int(page.locator(".gv-sentence").get_attribute("data-count") or "")


def wait_for(condition: Callable[[], Any], what: str) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {PATIENCE:g} s"
        time.sleep(0.1)


def wait_for_exact(page: Page) -> None:
    """Wait until the page says that what it shows is exact."""
    exact = page.locator(".gv-quality", has_text=re.compile("^exact$"))
    exact.wait_for()
    page.wait_for_timeout(300)
    exact.wait_for()


def after(page: Page, act: Callable[[], Any]) -> int:
    """Do something that changes the selection; the new count, once everything is drawn."""
    before = count(page)
    act()
    wait_for(lambda: count(page) != before, "a new count")
    wait_for_exact(page)
    return count(page)


def box_of(place: Locator) -> dict[str, float]:
    """Left, top, width and height on the screen."""
    box = place.bounding_box()
    assert box, f"{place} is not on the screen"
    return {key: float(value) for key, value in box.items()}


def pixels(page: Page, view: str) -> np.ndarray:
    """The middle of a view as the screen shows it, (height, width, 3) from 0 to 255; tools and axes are cut off."""
    page.mouse.move(2, 2)
    box = box_of(page.locator(f".{view} canvas").first)
    clip = {
        "x": box["x"] + box["width"] * 0.15, "y": box["y"] + box["height"] * 0.12,
        "width": box["width"] * 0.7, "height": box["height"] * 0.7,
    }  # fmt: skip
    image = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    return np.asarray(image).astype(int)


def coloured(picture: np.ndarray) -> int:
    """How many pixels have a colour, which neither background nor unselected sources have."""
    return int((picture.max(axis=2) - picture.min(axis=2) > 60).sum())


def pink(picture: np.ndarray) -> int:
    """How many pixels are of the colour of quasars, (255, 105, 180), in any brightness."""
    red, green, blue = np.moveaxis(picture, 2, 0)
    return int(((red > 1.15 * blue) & (blue > 1.15 * green) & (red > 90)).sum())


def drag_box(page: Page, view: str, corner: tuple[float, float], other: tuple[float, float]) -> None:
    """Drag a rectangle in a view; corners are fractions of its width and height."""
    box = box_of(page.locator(f".{view} canvas").first)
    page.mouse.move(box["x"] + corner[0] * box["width"], box["y"] + corner[1] * box["height"])
    page.mouse.down()
    for step in (0.3, 0.7, 1.0):
        x, y = (a + step * (b - a) for a, b in zip(corner, other, strict=True))
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.mouse.up()


def slide(page: Page, name: str, fraction: float) -> None:
    """Drag the lower handle of a filter to a fraction of its track."""
    panel = page.locator(f".gv-filter-{name}")
    handle, track = box_of(panel.locator(".noUi-handle").first), box_of(panel.locator(".noUi-base"))
    y = handle["y"] + handle["height"] / 2
    page.mouse.move(handle["x"] + handle["width"] / 2, y)
    page.mouse.down()
    for part in (0.4, 0.8, 1.0):
        page.mouse.move(track["x"] + track["width"] * fraction * part, y)
    page.mouse.up()
