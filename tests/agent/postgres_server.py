"""A real PostgreSQL server of the test's own, from Debian's package."""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

LIMIT_S = 60.0
PROGRAMS = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Server:
    """One that runs, and may be stopped and started."""

    programs: Path
    folder: Path
    port: int
    password: str
    user: str | None

    def url(self, database: str, password: str | None = None) -> str:
        """Of a database of it."""
        shown = self.password if password is None else password
        return f"postgresql://offhook:{shown}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """An empty database; its name."""
        name = f"calls_{secrets.token_hex(4)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    def start(self) -> None:
        """Returns once it takes connections."""
        options = f"-p {self.port} -k '' -c fsync=off -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        """At once, as a crash would."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / program), "-D", str(self.folder / "data"), *arguments],
            check=True,
            timeout=LIMIT_S,
            # Not a pipe: the server would hold it open.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self.user,
            cwd="/",
        )

    def make(self) -> None:
        """The cluster, where a password is asked for over TCP."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        if self.user:
            shutil.chown(secret, self.user)
            shutil.chown(self.folder, self.user)
        asks = ("-U", "offhook", "--pwfile", str(secret), "-A", "scram-sha-256")
        self._run("initdb", "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8", *asks)


def programs() -> Path:
    """Where the latest version's are; skips the test where there is none."""
    found = sorted(PROGRAMS.glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    if not found:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return found[-1].parent


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """It, on loopback; root, whom it refuses, lends it another user."""
    where = programs()
    user = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
    folder = Path(tempfile.mkdtemp(prefix="offhook-postgres-", dir="/tmp"))
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(where, folder, port, f"s3cret-{secrets.token_hex(8)}", user)
    try:
        server.make()
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                server.stop()
    finally:
        shutil.rmtree(folder)
