"""The wheel of a distribution as it is installed, put together again from its files."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import NamedTuple

NAME = "mpesa-integrations"
_PACKAGE = "mpesa_integrations/__init__.py"
# What an installer adds beside what a wheel brought.
_NOT_OF_A_WHEEL = {"..", "__pycache__"}
_INSTALLERS = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"}


class Wheel(NamedTuple):
    """A wheel, and the name that its file must have."""

    file_name: str
    content: bytes


def own_distribution() -> Distribution | None:
    """This library as it is installed; None where it only lies on the path."""
    try:
        return distribution(NAME)
    except PackageNotFoundError:
        return None


def installed_wheel(installed: Distribution | None) -> Wheel | None:
    """Put a wheel together; None where what is installed has not all of its files.

    That is so for an editable installation: its files are still those of a directory elsewhere.
    """
    files = _files(installed) if installed else {}
    metadata = next((name for name in files if name.endswith(".dist-info/WHEEL")), "")
    if installed is None or _PACKAGE not in files or not metadata:
        return None
    directory = metadata.removesuffix("/WHEEL")
    lines = files[metadata].decode().splitlines()
    tag = next(line for line in lines if line.startswith("Tag: ")).removeprefix("Tag: ")
    rows = [f"{name},{_digest(it)},{len(it)}\n" for name, it in files.items()]
    record = f"{directory}/RECORD"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(record, "".join([*rows, f"{record},,\n"]))
    return Wheel(f"{directory.removesuffix('.dist-info')}-{tag}.whl", packed.getvalue())


def _files(installed: Distribution) -> dict[str, bytes]:
    """What a wheel brought: names within it to contents; nothing where one is missing."""
    found: dict[str, bytes] = {}
    for path in installed.files or ():
        if path.is_absolute() or _NOT_OF_A_WHEEL & set(path.parts) or path.name in _INSTALLERS:
            continue
        try:
            found[path.as_posix()] = path.read_binary()
        except OSError:
            return {}
    return found


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"sha256={digest}"
