"""The operation table, the code table and the result types, against docs/protocol.md typed out."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys

import pytest

from mpesa_integrations import CODES, Kind, ResponseCode, TransactionStatus
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS

DOCUMENTED = """
INS-0 200 success
INS-1 500 unknown
INS-2 401 authentication
INS-4 401 authentication
INS-5 401 cancelled
INS-6 401 failed
INS-9 408 unknown
INS-10 409 duplicate
INS-13 400 validation
INS-14 400 validation
INS-15 400 validation
INS-16 503 not_accepted
INS-17 400 validation
INS-18 400 validation
INS-19 400 validation
INS-20 400 validation
INS-21 400 validation
INS-22 400 validation
INS-23 400 unknown
INS-24 400 validation
INS-25 400 validation
INS-26 400 authentication
INS-993 400 failed
INS-994 400 failed
INS-995 400 failed
INS-996 400 failed
INS-997 400 failed
INS-998 400 validation
INS-2001 400 authentication
INS-2002 400 failed
INS-2006 422 failed
INS-2051 400 validation
INS-2057 400 validation
"""


def test_the_code_table_is_the_documented_one() -> None:
    documented = [line.split() for line in DOCUMENTED.strip().splitlines()]
    assert [[code, str(row.http_status), row.kind.value] for code, row in CODES.items()] == (
        documented
    )
    assert {member.value for member in ResponseCode} == set(CODES)
    assert all(row.meaning for row in CODES.values())


def test_every_meaning_is_told_in_portuguese_too() -> None:
    assert ResponseCode("INS-2006").meaning_in("pt-MZ") == "Saldo insuficiente"
    assert ResponseCode("INS-2006").meaning_in("en") == "Insufficient balance"
    for code in (*ResponseCode, ResponseCode("INS-4711")):
        assert code.meaning_in("pt") != code.meaning == code.meaning_in(None)


def test_the_operation_table_is_the_documented_one() -> None:
    found = {name: (op.method, op.port, op.path, op.moves_money) for name, op in OPERATIONS.items()}
    assert found == {
        "c2b": ("POST", 18352, "/ipg/v1x/c2bPayment/singleStage/", True),
        "b2c": ("POST", 18345, "/ipg/v1x/b2cPayment/", True),
        "b2b": ("POST", 18349, "/ipg/v1x/b2bPayment/", True),
        "reversal": ("PUT", 18354, "/ipg/v1x/reversal/", True),
        "query_transaction_status": ("GET", 18353, "/ipg/v1x/queryTransactionStatus/", False),
        "query_customer_name": ("GET", 19323, "/ipg/v1x/queryCustomerName/", False),
    }


def test_a_new_code_is_a_code_of_unknown_kind() -> None:
    code = ResponseCode("INS-4711")
    assert code == "INS-4711" == str(code) == code.value
    assert (code.kind, code.known, code.http_status) == (Kind.UNKNOWN, False, None)
    assert {code: 1}[ResponseCode("INS-4711")] == 1
    assert pickle.loads(pickle.dumps(code)) == code == copy.deepcopy(code)
    assert json.dumps({"code": code}) == '{"code": "INS-4711"}'
    assert f"{code}" == "INS-4711"
    assert "INS-4711" in repr(code)
    assert code not in list(ResponseCode)
    assert ResponseCode("INS-0") is ResponseCode.SUCCESS
    for nonsense in ("", None, 7):
        with pytest.raises(ValueError, match="not a valid"):
            ResponseCode(nonsense)


def test_a_transaction_status_is_read_in_any_case_and_new_ones_are_kept() -> None:
    assert TransactionStatus("COMPLETED") is TransactionStatus.COMPLETED
    assert TransactionStatus.COMPLETED.known
    new = TransactionStatus("Reversed")
    assert new == "Reversed" == str(new)
    assert not new.known
    assert pickle.loads(pickle.dumps(new)) == new


@pytest.mark.slow
def test_the_core_imports_no_framework_and_nothing_it_may_not_need() -> None:
    script = (
        "import sys, mpesa_integrations, mpesa_integrations.core.payments.lifecycle;"
        "print([m for m in ('flask', 'django', 'sqlalchemy', 'celery', 'click', 'rich',"
        "'gettext', 'phonenumbers', 'mpesa_integrations.simulator') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
