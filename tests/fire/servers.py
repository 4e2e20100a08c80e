"""A database server of a fire run's own, to be stopped and started while the shops are at work."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from .databases import choose_port, url_of

_PATIENCE = 60.0  # seconds for a server to come, with what it has to recover, or to go


@dataclass(frozen=True)
class _Programs:
    """How a kind of server is made, run and stopped, with `{data}`, `{socket}` and `{port}`.

    Attributes:
        user: whom the programs are run as by root, as which none of them runs.
        init: the program that makes the server's files, and its arguments.
        run: the server, and its arguments. They leave alone how it writes to the disk: what it
            says that it has committed is there after a crash.
        where: a pattern of folders in which they may be, beside the PATH.
        fast: the signal by which it hangs up on everybody and then ends in good order.
        immediate: the signal by which it ends as in a crash, and has to recover.
    """

    user: str
    init: Sequence[str]
    run: Sequence[str]
    where: str
    fast: signal.Signals
    immediate: signal.Signals
    environment: Mapping[str, str] = field(default_factory=dict)


_PROGRAMS = {
    "postgresql": _Programs(
        user="postgres",
        init=(
            "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale",
            "--no-sync", "--pgdata={data}",
        ),
        run=(
            "postgres", "-D", "{data}", "-p", "{port}", "-c", "listen_addresses=127.0.0.1",
            "-c", "unix_socket_directories=", "-c", "max_connections=200",
        ),
        where="/usr/lib/postgresql/*/bin",
        fast=signal.SIGINT,
        immediate=signal.SIGQUIT,
    ),
    "mariadb": _Programs(
        user="mysql",
        init=(
            "mariadb-install-db", "--no-defaults", "--datadir={data}", "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ),
        run=(
            "mariadbd", "--no-defaults", "--datadir={data}", "--port={port}", "--socket={socket}",
            "--bind-address=127.0.0.1", "--max-connections=200",
        ),
        where="/usr/sbin",
        fast=signal.SIGTERM,
        immediate=signal.SIGKILL,
    ),
}  # fmt: skip


class OwnServer:
    """A server with files of its own in a temporary folder, running once it is made.

    Args:
        database: one of `databases.DATABASES`; it is the chosen one.
        port: where it listens. Not one that the system gives to clients: while the server is away,
            one of them might get it.

    Raises:
        FileNotFoundError: its programs are not on this machine.
    """

    def __init__(self, database: str, port: int) -> None:
        self._programs = programs = _PROGRAMS[database]
        init, run = (_find(names[0], programs.where) for names in (programs.init, programs.run))
        self._directory = Path(tempfile.mkdtemp(prefix="mpesa-fire-server-"))
        self._as = _unprivileged(programs.user)
        if self._as:
            os.chown(self._directory, self._as["user"], self._as["group"])
        data, socket = self._directory / "data", self._directory / "socket"
        known = {"data": data, "socket": socket, "port": port}
        self._command = [run, *(word.format(**known) for word in programs.run[1:])]
        choose_port(port)
        with self._log() as log:
            subprocess.run(
                [init, *(word.format(**known) for word in programs.init[1:])],
                cwd=self._directory, stdout=log, stderr=log, check=True, **self._as,
            )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start it, and wait until it lets somebody in."""
        with self._log() as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, **self._as,
            )  # fmt: skip
        deadline = time.monotonic() + _PATIENCE
        while not _lets_in():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server does not start: {self._last_words()}")
            time.sleep(0.05)

    def stop(self, *, crash: bool) -> None:
        """Stop it, and wait until it is gone.

        Args:
            crash: at once, as in a crash: it has to recover when it is started again.
        """
        self._process.send_signal(self._programs.immediate if crash else self._programs.fast)
        self._process.wait(_PATIENCE)

    def remove(self) -> None:
        """End it for good; its files go, too."""
        if self._process.poll() is None:
            self.stop(crash=True)
        shutil.rmtree(self._directory)

    def _log(self) -> Any:
        return (self._directory / "log").open("ab")

    def _last_words(self) -> str:
        return (self._directory / "log").read_text(errors="replace")[-2000:]


def _find(program: str, where: str) -> str:
    """The path of a program, of the newest version where there are several."""
    folders = sorted(Path("/").glob(where.lstrip("/")), key=_version, reverse=True)
    found = shutil.which(program, path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))
    if found is None:
        raise FileNotFoundError(f"no {program}")
    return found


def _version(folder: Path) -> float:
    with contextlib.suppress(ValueError):
        return float(folder.parent.name)
    return 0


def _unprivileged(user: str) -> dict[str, Any]:
    """Arguments for `subprocess`, that make a program of root's be run by somebody else."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get(user) or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _lets_in() -> bool:
    try:
        create_engine(url_of(), poolclass=NullPool).connect().close()
    except OperationalError:
        return False
    return True
