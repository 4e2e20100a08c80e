"""The developer portal of the local gateway: what a developer does at the real one, on a laptop."""

from .blueprint import install_portal
from .store import ReadyMade, Store

__all__ = ["ReadyMade", "Store", "install_portal"]
