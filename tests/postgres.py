"""A real PostgreSQL of the tests' own (Debian's package), on a socket in a folder of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from conftest import missing

START_SECONDS = 60
FOLDERS = "/usr/lib/postgresql"


class Server:
    """A server; `database()` makes an empty database and gives its URL."""

    def __init__(
        self, programs: Path, folder: Path, user: dict[str, int | str | list[str]]
    ) -> None:
        self._programs, self._folder, self._user = programs, folder, user
        self._process: subprocess.Popen[bytes] | None = None

    def database(self) -> str:
        """The URL of a new database."""
        name = f"t{uuid4().hex}"
        command = [self._programs / "createdb", "--username", "loupe", "--host", self._folder, name]
        subprocess.run(command, check=True, capture_output=True)
        return f"postgresql://loupe@/{name}?host={self._folder}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        folder, log = self._folder, self._folder / "log"
        command = [self._programs / "postgres", "-D", folder / "data", "-k", folder]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "-c", "listen_addresses="],
                stdout=output, stderr=output, cwd=folder, **self._user,
            )  # fmt: skip
        _wait(self._programs, folder, self._process, log)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; connections are cut."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it until the block ends; its databases stay."""
        self.stop()
        try:
            yield
        finally:
            self.start()


@contextmanager
def server() -> Iterator[Server]:
    """A PostgreSQL that runs until the block ends; skips the test where none is installed."""
    found = sorted(Path(FOLDERS).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        missing(f"no PostgreSQL: no initdb in {FOLDERS}/*/bin or on PATH")
    programs = (found[-1] if found else Path(str(on_path))).parent
    # The path of a socket is at most about 100 characters long, so not below pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="loupe-pg-", dir="/tmp"))
    user = _hand_over(folder)
    try:
        subprocess.run(
            [programs / "initdb", "--pgdata", folder / "data", "--username", "loupe", "--auth",
             "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"],
            check=True, capture_output=True, cwd=folder, **user,
        )  # fmt: skip
        running = Server(programs, folder, user)
        running.start()
        try:
            yield running
        finally:
            running.stop(signal.SIGQUIT)  # at once: nothing of it is kept
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _hand_over(folder: Path) -> dict[str, int | str | list[str]]:
    """Who runs the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait(programs: Path, socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    ready = [programs / "pg_isready", "--host", socket, "--username", "loupe"]
    while subprocess.run(ready, capture_output=True, check=False).returncode:
        said = log.read_text(encoding="utf-8", errors="replace")
        assert process.poll() is None, f"PostgreSQL stopped:\n{said}"
        assert time.monotonic() < give_up, f"PostgreSQL does not answer:\n{said}"
        time.sleep(0.1)
