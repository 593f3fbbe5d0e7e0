"""Opening the database: where it is, how its connections are set, its tables brought up to date.

SQLite runs in WAL mode with `synchronous=FULL`: what was acknowledged outlives a crash. Every write
begins with BEGIN IMMEDIATE and waits its turn, so that no write fails for having read first.
"""

import os
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError

from pipeline.annotations.records import AnnotationsError, Unreachable

VARIABLE = "LOUPE_ANNOTATIONS"
"""Environment variable that names the database, by a URL or a path."""
DEFAULT = "data/annotations.sqlite"
WRITING = "writing"
"""Execution option of a connection that is going to write."""
WAIT_SECONDS = 30
"""How long a write waits for another process's."""
LOCK = 0x4C6F757065
"""PostgreSQL's advisory lock that is held while tables are made: the letters of Loupe."""
POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")

_migrating = threading.Lock()  # alembic's context is one a process


def default_place() -> str:
    """Where what people say is kept: as the environment says, else below the working directory."""
    return os.environ.get(VARIABLE) or DEFAULT


def without_password(place: str) -> str:
    """The place as messages name it: without a password."""
    if "://" not in place:
        return place
    try:
        url = make_url(place)
    except (ArgumentError, ValueError):
        return "the URL given"
    bare = url.difference_update_query([name for name in url.query if _is_secret(name)])
    return bare.render_as_string(hide_password=True)


def _is_secret(name: str) -> bool:
    return "pass" in name.lower()


def _secrets(place: str) -> list[str]:
    """Passwords that a place holds."""
    try:
        url = make_url(place)
    except (ArgumentError, ValueError):
        return []
    held = [str(value) for name, value in url.query.items() if _is_secret(name)]
    return [secret for secret in (url.password, *held) if secret]


def open_engine(place: str) -> Engine:
    """The database at a path or URL, its tables made or brought up to date.

    Raises:
        AnnotationsError: no such kind of database.
        Unreachable: it cannot be opened or written.
    """
    url = _url(place)
    try:
        engine = _sqlite(url) if url.drivername == "sqlite" else _postgres(url)
        _migrate(engine, without_password(place))
    except (DBAPIError, OSError) as error:
        raise Unreachable(refused(place, error)) from error
    return engine


def refused(place: str, error: Exception) -> str:
    """One line for what a database answered, with the remedy."""
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    for secret in _secrets(place):
        said = said.replace(secret, "***")
    said = said[:300]
    remedy = (
        "start the server, or name another database"
        if "://" in place and not place.startswith("sqlite")
        else "name a file that can be written"
    )
    return f"{without_password(place)}: cannot be used ({said}); {remedy} in {VARIABLE}"


def _url(place: str) -> URL:
    if "://" not in place:
        return URL.create("sqlite", database=place)
    try:
        url = make_url(place)
    except (ArgumentError, ValueError) as error:
        raise AnnotationsError(f"{VARIABLE}: not a URL; see docs/annotations.md") from error
    if url.drivername in POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite":
        raise AnnotationsError(
            f"{without_password(place)}: no database that Loupe writes; name a file, or a URL that "
            f"begins with postgresql://, in {VARIABLE}"
        )
    return url


def _postgres(url: URL) -> Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise AnnotationsError(
            "PostgreSQL needs the package psycopg; install it with: pip install 'psycopg[binary]'"
        ) from error
    settings = {"connect_timeout": 5, "application_name": "loupe"}
    return create_engine(url, pool_pre_ping=True, connect_args=settings)


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise AnnotationsError(f"sqlite in memory keeps nothing; name a file in {VARIABLE}")
    if url.database.startswith("file:"):
        raise AnnotationsError(f"sqlite: name the file itself, without file:, in {VARIABLE}")
    file = Path(url.database)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    # From here on no connection makes the file: where it is gone, an empty one in its place would
    # look as if nothing had ever been kept.
    made = url.set(database=f"file:{quote(url.database)}")
    made = made.update_query_dict({"mode": "rw", "uri": "true"})
    engine = create_engine(made, connect_args={"timeout": WAIT_SECONDS})

    @event.listens_for(engine, "connect")
    def settings(connection: Any, record: Any) -> None:
        record.info["file"] = _identity(file)
        connection.isolation_level = None  # BEGIN is said below, not by the driver
        # SQLite's own knows only the capitals of ASCII.
        connection.create_function(
            "lower", 1, lambda text: text and text.lower(), deterministic=True
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        _write_ahead(connection)

    @event.listens_for(engine, "checkout")
    def same_file(_: Any, record: Any, __: Any) -> None:
        # Of a file that was taken away a connection that is open knows nothing, and what it then
        # writes is in no file.
        if record.info["file"] != _identity(file):
            raise DisconnectionError("the file is another one now")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(WRITING)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _identity(file: Path) -> tuple[int, int] | None:
    """Which file lies there; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _write_ahead(connection: Any) -> None:
    """Turn WAL on. While others do the same SQLite may answer `locked` without waiting."""
    give_up = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except connection.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)


def _migrate(engine: Engine, place: str) -> None:
    """Apply the steps that the database lacks, all or none; other processes wait meanwhile."""
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    steps = ScriptDirectory.from_config(config)
    newest = steps.get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
    with _migrating, engine.execution_options(**{WRITING: True}).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        there = MigrationContext.configure(connection).get_current_revision()
        if there not in {None, *(step.revision for step in steps.walk_revisions())}:
            raise AnnotationsError(
                f"{place}: was made by a newer Loupe (tables of version {there}, "
                f"this one knows {newest}); update Loupe, or name another database in {VARIABLE}"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
