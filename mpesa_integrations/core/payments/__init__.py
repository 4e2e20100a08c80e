"""Recorded payments and what becomes of them, over any store and any framework."""
