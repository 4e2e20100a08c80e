"""`make screenshots`: the pictures that the browser's tests take, small enough for the docs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
DIRECTORY = DOCS / "screenshots"
_TALLEST = {375: 900, 1280: 840}
"""By a picture's width: what is below is cut off, all in pixels."""
_COLOURS = 48
_LARGEST = 60_000
"""Bytes."""


def shown() -> set[str]:
    """The names of the pictures that docs/screenshots.md shows."""
    text = (DOCS / "screenshots.md").read_text()
    return {part.partition(".png")[0] for part in text.split("(screenshots/")[1:]}


def shrink(source: Path, target: Path) -> None:
    """Write a picture with few colours and no more than its upper part.

    Raises:
        SystemExit: it is still too large.
    """
    with Image.open(source) as picture:
        height = min(picture.height, _TALLEST[picture.width])
        cut = picture.convert("RGB").crop((0, 0, picture.width, height))
    cut.quantize(_COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    if target.stat().st_size > _LARGEST:
        raise SystemExit(f"{target} has more than {_LARGEST} bytes")


def main() -> None:
    """Take them anew."""
    with TemporaryDirectory() as taken:
        os.environ |= {"MPESA_SCREENSHOTS": taken, "CI": "true"}  # no Chromium is an error here
        failed = pytest.main(["-q", "-n", "2", str(Path(__file__).parent)])
        if failed:
            sys.exit(failed)
        for old in DIRECTORY.glob("*.png"):
            old.unlink()
        DIRECTORY.mkdir(exist_ok=True)
        for name in sorted(shown()):
            shrink(Path(taken) / f"{name}.png", DIRECTORY / f"{name}.png")


if __name__ == "__main__":
    main()
