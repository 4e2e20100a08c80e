"""A directory for a gateway that a test starts itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from mpesa_integrations.simulator import Simulator


def directory_with_key(simulator: Simulator, directory: Path) -> Path:
    """Make a gateway's directory that has the private key of another gateway, and nothing else."""
    directory.mkdir(mode=0o700, parents=True)
    shutil.copy2(simulator.state_dir / "private_key.pem", directory)
    return directory
