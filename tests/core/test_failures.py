"""What is logged of an error that was caught."""

from __future__ import annotations

import sqlite3

import pytest

from mpesa_integrations.core.failures import log_failure


def _raised(error: Exception, cause: Exception | None = None) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


def test_a_databases_words_are_left_out_and_its_code_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrapping = pytest.importorskip("sqlalchemy.exc", reason="it runs without SQLAlchemy, too")
    row = "Failing row contains (1, Ana, 258841234567)"
    driver = sqlite3.IntegrityError(row)
    driver.sqlstate = "23514"  # type: ignore[attr-defined]
    wrapped = wrapping.IntegrityError("INSERT", {"msisdn": "258841234567"}, driver)
    log_failure("row.failed", _raised(RuntimeError("for 258841234567"), wrapped), pk=7)
    assert caplog.text.splitlines()[0].endswith("row.failed pk=7 problem=RuntimeError")
    assert "sqlalchemy.exc.IntegrityError (23514)" in caplog.text
    assert "RuntimeError: for 25884•••4567" in caplog.text
    assert "in _raised" in caplog.text
    for secret in ("258841234567", "Ana", "Failing row"):
        assert secret not in caplog.text


def test_a_code_that_is_text_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    log_failure("row.failed", _raised(sqlite3.OperationalError("near Ana")))
    assert "sqlite3.OperationalError" in caplog.text
    assert "Ana" not in caplog.text
    log_failure("row.failed", _raised(sqlite3.OperationalError(1366, "Ana")))
    assert "sqlite3.OperationalError (1366)" in caplog.text
    assert "Ana" not in caplog.text
