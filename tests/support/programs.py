"""Programs that tests start."""

from __future__ import annotations

QUICK_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Options for a program that ends at once: Java does not prepare for one that runs for days."""
