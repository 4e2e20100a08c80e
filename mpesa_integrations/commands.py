"""What the frameworks' commands do with recorded payments: pay, show, check accounts, reconcile.

How options are read and output is shown is each command's own. `mpesa`, which needs no records, is
in `cli`.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Any

from .core.client.blocking import MpesaClient
from .core.errors import (
    AuthenticationError,
    ConfigurationError,
    DuplicateTransaction,
    GatewayUnavailable,
    MpesaError,
    OutcomeUnknown,
    PaymentDeclined,
    RecordsUnavailable,
    ValidationError,
)
from .core.failures import log_failure
from .core.masking import mask_msisdn
from .core.payments.calls import Payments
from .core.payments.lifecycle import MONEY_MOVED_STATES, State
from .core.payments.limits import check_counts, check_every, check_rate
from .core.payments.persistence import persist
from .core.payments.reconcile import Reconciled, Reconciler
from .core.payments.registry import Accounts
from .core.payments.tables import faults_in_database
from .core.settings.account import AccountSettings
from .core.settings.account_checks import check_account, check_callback_tokens

Echo = Callable[[str], object]
_SHOWN = (
    "account",
    "operation",
    "state",
    "amount",
    "reversed_amount",
    "msisdn",
    "receiver_shortcode",
    "reference",
    "third_party_reference",
    "conversation_id",
    "transaction_id",
    "response_code",
    "response_description",
    "conflict",
    "created_at",
)


class ExitCode(IntEnum):
    """How a command ends: one code per thing that the caller can do about it."""

    OK = 0
    PROBLEM = 1
    CONFIGURATION = 2
    VALIDATION = 3
    AUTHENTICATION = 4
    DECLINED = 5
    DUPLICATE = 6
    UNAVAILABLE = 7
    UNKNOWN = 8


_EXIT_CODES: dict[type[MpesaError], ExitCode] = {
    ConfigurationError: ExitCode.CONFIGURATION,
    ValidationError: ExitCode.VALIDATION,
    AuthenticationError: ExitCode.AUTHENTICATION,
    PaymentDeclined: ExitCode.DECLINED,
    DuplicateTransaction: ExitCode.DUPLICATE,
    GatewayUnavailable: ExitCode.UNAVAILABLE,
    OutcomeUnknown: ExitCode.UNKNOWN,
    RecordsUnavailable: ExitCode.UNAVAILABLE,
}


def exit_code_of(error: MpesaError) -> ExitCode:
    """The exit code for an error: its own class's, or that of the nearest above it."""
    known = (_EXIT_CODES[kind] for kind in type(error).__mro__ if kind in _EXIT_CODES)
    return next(known, ExitCode.PROBLEM)


def exit_code_of_state(state: State) -> ExitCode:
    """The exit code for a recorded payment: 0 where the money moved, or the result is to come."""
    if state in MONEY_MOVED_STATES or state is State.PENDING:
        return ExitCode.OK
    if state in (State.FAILED, State.CANCELLED):
        return ExitCode.DECLINED
    return ExitCode.UNKNOWN


def describe(record: Any) -> str:
    """A record's columns for a terminal, the phone number masked."""
    shown = {name: getattr(record, name, None) for name in _SHOWN}
    if shown["msisdn"]:
        shown["msisdn"] = mask_msisdn(shown["msisdn"])
    return "\n".join(
        f"{name.replace('_', ' '):<22} {value}" for name, value in shown.items() if value
    )


def pay(call: Callable[..., Any], arguments: Mapping[str, Any], echo: Echo) -> ExitCode:
    """Make a recorded call and show the record.

    Args:
        call: `payments.c2b` or another of them.
        arguments: its arguments; those that are None are left out.
        echo: takes what is to be shown.

    Raises:
        MpesaError: nothing was sent.
    """
    record = call(**{name: value for name, value in arguments.items() if value is not None})
    echo(describe(record))
    return exit_code_of_state(State(record.state))


def show_status(payments: Payments[Any, Any], reference: str, echo: Echo) -> ExitCode:
    """Ask the gateway where a transaction stands; its record, if there is one, moves on by it.

    Args:
        payments: the account's.
        reference: third-party reference or transaction ID; of a transaction that is not on record
            also the conversation ID.
        echo: takes what is to be shown.

    Raises:
        MpesaError: the gateway could not be asked.
    """
    store = payments.store
    record = persist(store, lambda: store.find(reference) or store.find_paid(reference))
    if record is not None:
        record = payments.check(record)
        echo(describe(record))
        return exit_code_of_state(State(record.state))
    status = payments.query_transaction_status(query_reference=reference).transaction_status
    echo("Not on record. The gateway says: " + (status.value if status else "N/A"))
    return ExitCode.OK if status else ExitCode.UNKNOWN


def check_accounts(
    accounts: Accounts[Any, Any], *, in_production: bool, offline: bool, echo: Echo
) -> ExitCode:
    """Check each account's settings, and by a harmless query whether the gateway takes them."""
    found = ExitCode.OK
    for alias in accounts:
        problems = list(_problems(accounts, alias, in_production=in_production, offline=offline))
        for problem in problems:
            found = ExitCode.PROBLEM
            echo(f"problem  {alias}: {problem}")
        if not problems:
            echo(f"ok       {alias}" + ("" if offline else ": the gateway accepts the API key"))
    for shared in check_callback_tokens(_readable(accounts)):
        found = ExitCode.PROBLEM
        echo(f"problem  {shared.text} {shared.hint}")
    return found


def _readable(accounts: Accounts[Any, Any]) -> dict[str, AccountSettings]:
    found = {}
    for alias in accounts:
        with contextlib.suppress(Exception):  # reported where the account is looked at by itself
            found[alias] = accounts[alias].settings
    return found


def _problems(
    accounts: Accounts[Any, Any], alias: str, *, in_production: bool, offline: bool
) -> Iterator[str]:
    try:
        settings = accounts[alias].settings
        for problem in check_account(alias, settings, in_production=in_production):
            yield f"{problem.text} {problem.hint}"
        refused = None if offline else ask_harmlessly(accounts[alias].client)
        if refused:
            yield refused
        yield from _table_problems(accounts[alias])
    except ConfigurationError as error:
        yield str(error)
    except Exception as error:  # noqa: BLE001 - one account's fault hides no other's
        log_failure("check.failed", error, account=alias)
        yield f"it could not be checked: {type(error).__name__}; the log says where"


def _table_problems(payments: Payments[Any, Any]) -> Iterator[str]:
    found = persist(payments.store, lambda: faults_in_database(payments.store))
    if found:
        missing = "; ".join(fault.text for fault in found)
        yield f"in the database of the payments {missing}. {payments.store.remedy}"


def ask_harmlessly(client: MpesaClient) -> str | None:
    """Ask for a transaction that there is not: what is wrong with the account, or None."""
    try:
        client.query_transaction_status(query_reference="MPESADOCTOR")
    except (AuthenticationError, GatewayUnavailable) as error:
        return str(error)
    except ValidationError as error:
        code = error.result.code if error.result else None
        return f"the gateway refuses the shortcode: {error}" if code == "INS-13" else None
    except MpesaError:
        return None  # it answered, and not that the credentials are wrong
    return None


def reconcile(
    accounts: Accounts[Any, Any],
    *,
    every: float | None,
    batch: int,
    workers: int,
    rate: float | None,
    echo: Echo,
) -> ExitCode:
    """Reconcile all accounts, once or until SIGINT or SIGTERM.

    An account that cannot be reconciled, as one whose key file is gone, keeps no other back.

    Args:
        accounts: whose payments.
        every: seconds between two runs; None means once.
        batch: records in memory at a time.
        workers: status queries at a time.
        rate: status queries a second at the most.
        echo: takes what is to be shown.

    Returns:
        Of a single run, whether something failed that a person should look at in the log.

    Raises:
        ValidationError: a number is 0, negative or none.
    """
    check_every(every)
    check_counts(batch=batch, workers=workers)
    check_rate(rate)
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        code = ExitCode.OK
        for alias in accounts:
            try:
                done = _reconcile_one(
                    accounts[alias], batch=batch, workers=workers, rate=rate, stop=stop
                )
            except Exception as error:  # noqa: BLE001 - the other accounts go on
                log_failure("reconcile.account_failed", error, account=alias)
                ours = error if isinstance(error, MpesaError) else None
                echo(f"{alias}: {type(error).__name__}" + (f": {ours}" if ours else ""))
                code = code or (exit_code_of(ours) if ours else ExitCode.PROBLEM)
                continue
            code = code or (ExitCode.PROBLEM if done.failed else ExitCode.OK)
            if done or every is None:
                echo(f"{alias}: {_count(done)}")
        if every is None:
            return code
        stop.wait(every)
    return ExitCode.OK


def _reconcile_one(payments: Payments[Any, Any], **how: Any) -> Reconciled:
    return _run_with_progress(payments.alias, payments.reconciler(**how))


def _run_with_progress(alias: str, reconciler: Reconciler[Any, Any]) -> Reconciled:
    # Imported here, since it draws a terminal: an app imports its commands without having one.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(alias, total=None)
        return reconciler.run(lambda done: bar.update(task, description=f"{alias}: {_count(done)}"))


def _count(done: Reconciled) -> str:
    failed = f", {done.failed} failed" if done.failed else ""
    return f"{done.asked} asked, {done.dispatched} told, {done.callbacks} callbacks decided{failed}"
