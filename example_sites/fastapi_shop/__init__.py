"""Boat tickets: a small shop with FastAPI, whose Python is all in `shop`."""
