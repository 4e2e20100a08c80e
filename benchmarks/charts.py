"""`python -m benchmarks.charts results.jsonl directory`: draws the results as SVG files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# Text stays text, and the same results give the same bytes.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mpesa", "font.size": 9})

import matplotlib.pyplot as plt  # noqa: E402 - the backend is to be chosen first

_MET, _MISSED, _TOLD = "#1a7f37", "#b35900", "#57606a"
_Lines = list[dict[str, Any]]


def main() -> None:
    """Draw the ratios of all results, the callbacks and payments a second, and the scaling."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.charts", description=__doc__)
    parser.add_argument("results", type=Path, help="the lines of JSON")
    parser.add_argument("directory", type=Path, help="where the SVG files go")
    arguments = parser.parse_args()
    lines = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    arguments.directory.mkdir(parents=True, exist_ok=True)
    _ratios(lines, arguments.directory / "ratios.svg")
    _throughput(lines, arguments.directory / "throughput.svg")
    _scaling(lines, arguments.directory / "reconcile.svg")


def _ratios(lines: _Lines, file: Path) -> None:
    """Each ratio as a bar, and a mark at its target."""
    lines = list(reversed(lines))
    figure, axes = plt.subplots(figsize=(8, 0.26 * len(lines) + 1), layout="constrained")
    axes.barh(
        [line["name"] for line in lines],
        [line["ratio"] for line in lines],
        color=[_colour(line) for line in lines],
    )
    for row, line in enumerate(lines):
        axes.text(line["ratio"], row, f" {line['ratio']:.2f}", va="center")
        if line["target"]:
            axes.plot([line["target"]] * 2, [row - 0.45, row + 0.45], color="black", linewidth=2)
    axes.margins(x=0.1, y=0.01)
    axes.set_xlabel("ratio, ours through the other; the black mark is the target at the most")
    _save(figure, file)


def _throughput(lines: _Lines, file: Path) -> None:
    """Payments and callbacks a second by the number of threads."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    threads = [line for line in lines if "threads" in line]
    left.plot(
        [line["threads"] for line in threads],
        [line["payments_per_second"] for line in threads],
        marker="o",
    )
    left.set_title("payments a second, gateway of 50 ms")
    left.set_xlabel("threads")
    for framework in ("django", "flask"):
        found = [line for line in lines if "senders" in line and f".{framework}_" in line["name"]]
        right.plot(
            [line["senders"] for line in found],
            [line["callbacks_per_second"] for line in found],
            marker="o",
            label=framework,
        )
    right.set_title("callbacks a second")
    right.set_xlabel("concurrent senders")
    right.legend()
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    _save(figure, file)


def _scaling(lines: _Lines, file: Path) -> None:
    """Time and memory of reconciling by the rows of the table."""
    found = [line for line in lines if "peak_kib" in line]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    rows = [line["rows"] for line in found]
    left.plot(rows, [line["a_ms"] for line in found], marker="o")
    left.set_title("reconcile: milliseconds a payment")
    right.plot(rows, [line["peak_kib"] for line in found], marker="o")
    right.set_title("reconcile: most memory, KiB")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("rows in the table")
        axes.set_ylim(bottom=0)
    _save(figure, file)


def _colour(line: dict[str, Any]) -> str:
    if not line["target"]:
        return _TOLD
    return _MET if line["ratio"] <= line["target"] else _MISSED


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
