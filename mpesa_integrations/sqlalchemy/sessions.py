"""The store's sessions, each for one transaction or for a few SELECTs.

None is the caller's, and none is open between two calls of the store. Which connections they have
is in `connections`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import CursorResult, ScalarResult, func, select, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.sql.base import Executable

from ..core.errors import ConfigurationError
from ..core.payments.wakeups import CHANNEL
from .connections import LOCK_TIMEOUT, MYSQL

_SEES_COMMITTED = MYSQL | {"postgresql"}
_LOCK_TIMEOUT = text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'")


class Sessions:
    """Opens sessions on the library's own engine.

    Args:
        engine: gives that engine; called for each session.
    """

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session for SELECTs, without BEGIN and COMMIT around them."""
        with Session(self._engine()) as session:
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            yield session
            session.expunge_all()

    @contextmanager
    def writing(self, *, may_wait: bool = False) -> Iterator[Session]:
        """Open a session for one transaction, which is committed at its end.

        Args:
            may_wait: whether a transaction of the shop's may have locked what is written, so that
                waiting for it must end.
        """
        with Session(self._engine(), expire_on_commit=False) as session:
            with session.begin():
                bind = session.get_bind()
                dialect = bind.dialect.name
                # To see what others committed: MariaDB's default does not, and locks gaps.
                if dialect in _SEES_COMMITTED or _commits_each_statement(bind):
                    session.connection(execution_options={"isolation_level": _level(dialect)})
                if may_wait and dialect == "postgresql":
                    # For this transaction: a pooler in between may give the connection to others.
                    session.execute(_LOCK_TIMEOUT)
                yield session
            session.expunge_all()


@contextmanager
def applications_session(session: Callable[[], Session], model: Any) -> Iterator[Session]:
    """Use a session of the application's for one transaction, which is committed at its end.

    Args:
        session: gives it; in it, nothing has been done yet.
        model: what is written, in a transaction also where the engine commits each statement.

    Raises:
        ConfigurationError: something has been, so that it is the session of the calling code.
    """
    given = session()
    found = given() if isinstance(given, scoped_session) else given
    if found.in_transaction():  # left as it is: it belongs to somebody else
        raise ConfigurationError(
            "The session that a handler is given is in a transaction already: what the calling "
            "code has half done would be committed with it. What Records has for session= gives "
            "each thread, or each Flask app context, a session of its own, as scoped_session does "
            "by itself; a scope by a context variable, as a request's ID, does not",
            setting="session",
        )
    try:
        bind = found.get_bind(model)
        if _commits_each_statement(bind):
            options = {"isolation_level": _level(bind.dialect.name)}
            found.connection(bind_arguments={"mapper": model}, execution_options=options)
        yield found
        found.commit()
    finally:
        found.close()  # what is not committed is rolled back


def _commits_each_statement(bind: Engine | Connection) -> bool:
    """Whether an application's engine has no transactions: the isolation level AUTOCOMMIT."""
    level = bind.get_execution_options().get("isolation_level")
    # The other is what create_engine(isolation_level=...) leaves; it has no public name.
    return (level or getattr(bind.dialect, "_on_connect_isolation_level", None)) == "AUTOCOMMIT"


def _level(dialect: str) -> str:
    return "READ COMMITTED" if dialect in _SEES_COMMITTED else "SERIALIZABLE"  # SQLite's own


def wake_workers(session: Session, account: str) -> None:
    """Say, once the session is committed, that there is something to do for a worker."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_notify(CHANNEL, account)))


def read(
    session: Session, statement: Executable, values: Mapping[str, Any] | None = None, **options: Any
) -> ScalarResult[Any]:
    """Give a statement's rows, each once: a shop's model may read a collection by a join."""
    return session.scalars(statement, values, execution_options=options).unique()


def rows_changed(session: Session, statement: Executable) -> int:
    """Execute an UPDATE or DELETE past the session's objects, and count the rows it found."""
    options = {"synchronize_session": False}
    result = cast("CursorResult[Any]", session.execute(statement, execution_options=options))
    return int(result.rowcount)
