"""What the frameworks' commands do with recorded payments: pay, show, check accounts, reconcile.

How options are read and output is shown is each command's own. `mpesa`, which needs no records, is
in `cli`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections import Counter
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
    nothing_sent,
)
from .core.failures import log_failure
from .core.masking import mask_msisdn
from .core.messages import Message
from .core.payments.calls import Payments
from .core.payments.handler_runs import Ran
from .core.payments.left_to_do import left_to_do
from .core.payments.lifecycle import MONEY_MOVED_STATES, State
from .core.payments.limits import check_counts, check_every
from .core.payments.persistence import persist
from .core.payments.rate_limits import RateLimits
from .core.payments.reconcile import Reconciled, Reconciler
from .core.payments.records import MAY_BE_APPLIED_AGAIN, UnfinishedHandler
from .core.payments.registry import Accounts
from .core.payments.tables import faults_in_database
from .core.settings.account import AccountSettings
from .core.settings.account_checks import check_account, check_callback_tokens
from .process_signals import told_to_stop
from .worker.run import Ended, Worker

Echo = Callable[[str], object]
DECISIONS = (State.COMPLETED.value, State.FAILED.value, State.CANCELLED.value)
"""What may be decided of a payment."""
_SHOWN = (
    "account",
    "operation",
    "state",
    "amount",
    "reversed_amount",
    "msisdn",
    "receiver_shortcode",
    "order_key",
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


def exit_code_of(error: Exception) -> ExitCode:
    """The exit code for an error: its own class's, or that of the nearest above it, if any."""
    known = (_EXIT_CODES[kind] for kind in type(error).__mro__ if kind in _EXIT_CODES)
    return next(known, ExitCode.PROBLEM)


def exit_code_of_state(state: State) -> ExitCode:
    """The exit code for a recorded payment: 0 where the money moved, or the result is to come."""
    if state in MONEY_MOVED_STATES or state in (State.PENDING, State.QUEUED):
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


def resolve(
    payments: Payments[Any, Any], reference: str, state: str, *, by: str, note: str, echo: Echo
) -> ExitCode:
    """Decide what became of a payment, and show its record.

    Args:
        payments: the account's.
        reference: the payment's third-party reference.
        state: one of `DECISIONS`.
        by: who decides.
        note: on what grounds.
        echo: takes what is to be shown.

    Raises:
        ValidationError: there is no such payment, or nothing to decide of it.
    """
    store = payments.store
    record = persist(store, lambda: store.find(reference))
    if record is None:
        raise nothing_sent({"reference": [Message("no payment has this third-party reference")]})
    echo(describe(payments.resolve(record, State(state), by=by, note=note)))
    return ExitCode.OK


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
    by_choice = accounts.loader is not None  # whose accounts may share what their owner shares
    for shared in check_callback_tokens(readable_settings(accounts)):
        found = found if by_choice else ExitCode.PROBLEM
        echo(f"{'note    ' if by_choice else 'problem '} {shared.text} {shared.hint}")
    return found


def settings_with_callbacks(accounts: Accounts[Any, Any]) -> AccountSettings | None:
    """The settings of the first account that takes callbacks, of those that can be read."""
    return next((s for s in readable_settings(accounts).values() if s.config.callback_token), None)


def readable_settings(accounts: Accounts[Any, Any]) -> dict[str, AccountSettings]:
    """The settings of the accounts, by their names, of those that can be read."""
    found = {}
    for alias in accounts:
        with contextlib.suppress(Exception):  # reported where the account is looked at by itself
            found[alias] = accounts[alias].settings
    return found


def _problems(
    accounts: Accounts[Any, Any], alias: str, *, in_production: bool, offline: bool
) -> Iterator[str]:
    try:
        payments = accounts[alias]
        for problem in check_account(alias, payments.settings, in_production=in_production):
            yield f"{problem.text} {problem.hint}"
        refused = None if offline else ask_harmlessly(payments.client)
        if refused:
            yield refused
        missing = list(_table_problems(payments))
        yield from missing or _handler_problems(payments)
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


def _handler_problems(payments: Payments[Any, Any]) -> Iterator[str]:
    left = payments.unfinished_handlers()
    given_up = sum(found.given_up_at is not None for found in left)
    if given_up:
        yield f"handlers that failed wait for a person, {given_up} of them; list and run them again"
    unknown = Counter((each.event, each.handler) for each in left if not each.is_registered)
    for (event, name), count in unknown.items():
        yield (
            f"no handler {name} of {event} is registered here, and {count} wait for it: was it "
            "renamed or removed, or is its module not imported?"
        )


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


def show_handlers(accounts: Accounts[Any, Any], echo: Echo) -> ExitCode:
    """List the handlers that are still to be run, those that wait for a person first.

    Returns:
        Whether there is one that a person must do something about.
    """
    usable, code = _each(accounts, echo)
    for alias, payments in usable:
        for found in payments.unfinished_handlers():
            echo(_handler_line(alias, found))
            if found.given_up_at is not None or not found.is_registered:
                code = ExitCode.PROBLEM
    return code


def _each(
    accounts: Accounts[Any, Any], echo: Echo
) -> tuple[list[tuple[str, Payments[Any, Any]]], ExitCode]:
    """The accounts with their names; one whose settings cannot be had is told, and left out."""
    found: list[tuple[str, Payments[Any, Any]]] = []
    code = ExitCode.OK
    for alias in accounts:
        try:
            found.append((alias, accounts[alias]))
        except (ConfigurationError, RecordsUnavailable) as error:
            echo(f"{alias}: {error}")
            code = exit_code_of(error)
    return found, code


def run_handlers_again(accounts: Accounts[Any, Any], event_id: str | None, echo: Echo) -> ExitCode:
    """Run handlers again that failed.

    Args:
        accounts: whose payments.
        event_id: as `show_handlers` lists it; None means all that wait for a person.
        echo: takes what is to be shown.

    Returns:
        Whether there is one that was not done.
    """
    usable, code = _each(accounts, echo)
    if event_id is not None:
        chosen = [(payments, event_id) for _, payments in usable]
    else:
        chosen = [
            (payments, found.event_id)
            for _, payments in usable
            for found in payments.unfinished_handlers()
            if found.given_up_at is not None
        ]
    ran = [(each, payments.run_again(each)) for payments, each in chosen]
    found = {each: outcome for each, outcome in ran if outcome is not None}
    for each, outcome in found.items():
        echo(f"{each}: {outcome.value}")
    if event_id is not None and not found:
        echo(f"{event_id}: no handler is left to be run with this ID")
        return ExitCode.PROBLEM
    return code if set(found.values()) <= {Ran.DONE} else ExitCode.PROBLEM


def show_callbacks(accounts: Accounts[Any, Any], echo: Echo) -> ExitCode:
    """List the callbacks that are of no payment, or could not be applied.

    Returns:
        Whether there is one.
    """
    usable, code = _each(accounts, echo)
    for alias, payments in usable:
        for found in payments.rejected_callbacks():
            reference = found.third_party_reference or "no reference"
            came = f"{found.received_at:%Y-%m-%d %H:%M:%S %Z}"
            echo(f"{alias}: {found.key}  {came}  {reference}  {found.verdict}")
            code = ExitCode.PROBLEM
    return code


def apply_callback_again(accounts: Accounts[Any, Any], key: int, echo: Echo) -> ExitCode:
    """Decide a stored callback anew.

    Args:
        accounts: whose callbacks.
        key: as `show_callbacks` lists it.
        echo: takes what is to be shown.

    Returns:
        Whether it still is of no payment, or there was none to be decided.
    """
    for alias, payments in _each(accounts, echo)[0]:
        verdict = payments.apply_callback_again(key)
        if verdict is not None:
            echo(f"{alias}: {key}: {verdict}")
            return ExitCode.PROBLEM if verdict in MAY_BE_APPLIED_AGAIN else ExitCode.OK
    echo(f"{key}: no callback with this ID can be applied, or it was already")
    return ExitCode.PROBLEM


def _handler_line(alias: str, found: UnfinishedHandler) -> str:
    if not found.is_registered:
        waits = "no such handler"
    elif found.given_up_at is not None:
        waits = f"waits for a person since {found.given_up_at:%Y-%m-%d %H:%M}"
    else:
        waits = f"next try {found.next_try_at:%Y-%m-%d %H:%M}"
    said = f"{alias}: {found.event_id}  {found.reference}  {found.event}  {found.handler}  "
    said += f"{found.attempts} tries, {waits}"
    return f"{said}, {found.problem}" if found.problem else said


def reconcile(
    accounts: Accounts[Any, Any],
    *,
    every: float | None,
    batch: int,
    workers: int,
    rate: float | None,
    now: bool = False,
    echo: Echo,
) -> ExitCode:
    """Reconcile all accounts, once or until SIGINT or SIGTERM.

    An account that cannot be reconciled, as one whose key file is gone, keeps no other back.

    Args:
        accounts: whose payments.
        every: seconds between two runs; None means once.
        batch: records in memory at a time.
        workers: status queries at a time.
        rate: status queries a second at the most, for each account.
        now: whether the first run also asks for payments that are not due yet.
        echo: takes what is to be shown.

    Returns:
        Of a single run, whether something failed that a person should look at in the log.

    Raises:
        ValidationError: a number is 0, negative or none.
    """
    check_every(every)
    check_counts(batch=batch, workers=workers)
    rates = RateLimits(rate)
    with told_to_stop() as stop:
        while not stop.is_set():
            names, code = _to_be_reconciled(accounts, echo)
            rates.keep(names)
            for alias in names:
                try:
                    done, left = _reconcile_one(
                        accounts[alias],
                        is_last=every is None,
                        batch=batch,
                        workers=workers,
                        rate=rates[alias],
                        stop=stop,
                        now=now,
                    )
                except Exception as error:  # noqa: BLE001 - the other accounts go on
                    log_failure("reconcile.account_failed", error, account=alias)
                    echo(f"{alias}: {_said_of(error)}")
                    code = code or exit_code_of(error)
                    continue
                code = code or (ExitCode.PROBLEM if done.failed else ExitCode.OK)
                if done or every is None:
                    echo(f"{alias}: {_count(done)}{left}")
            if every is None:
                return code
            now = False
            stop.wait(every)
    return ExitCode.OK


def _to_be_reconciled(accounts: Accounts[Any, Any], echo: Echo) -> tuple[list[str], ExitCode]:
    """The accounts that there are now, and whether some that are no more have open payments."""
    try:
        left = left_to_do(accounts)
    except Exception as error:  # noqa: BLE001 - the next run may find them
        log_failure("reconcile.accounts_not_loaded", error)
        echo(_said_of(error))
        return [], exit_code_of(error)
    for alias in left.missing:
        echo(f"{alias}: {left.problem(alias)}")
    return left.accounts, ExitCode.PROBLEM if left.missing else ExitCode.OK


def _said_of(error: Exception) -> str:
    """An error's kind, and its words where they are ours: others' may show what is secret."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, MpesaError) else kind


def _reconcile_one(
    payments: Payments[Any, Any], *, is_last: bool, **how: Any
) -> tuple[Reconciled, str]:
    """Reconcile an account; the last time with what is left to be said of it."""
    done = _run_with_progress(payments.alias, payments.reconciler(**how))
    return done, _left(payments) if is_last else ""


def work(worker: Worker) -> ExitCode:
    """Run a worker until it is told to stop.

    Where that leaves prompts that took too long, the process ends here: what they would say, the
    next worker asks for.
    """
    ended = worker.run()
    if ended is Ended.LEAVING:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(ExitCode.OK)  # else it would end with the last of its threads
    return ExitCode.PROBLEM if ended is Ended.BROKEN else ExitCode.OK


def _run_with_progress(alias: str, reconciler: Reconciler[Any, Any]) -> Reconciled:
    # Imported here, since it draws a terminal: an app imports its commands without having one.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(alias, total=None)
        return reconciler.run(lambda done: bar.update(task, description=f"{alias}: {_count(done)}"))


def _left(payments: Payments[Any, Any]) -> str:
    """How many payments wait to be asked for, and how long, if there are any."""
    count, wait = payments.to_be_checked()
    if wait is None:
        return ""
    seconds = round(wait.total_seconds())
    when = f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
    return f"; {count} not due yet, the next in {when}"


def _count(done: Reconciled) -> str:
    """What was done; what an answer told is none of the events that were left to dispatch."""
    parts = (
        (done.dispatched, "events dispatched"),
        (done.callbacks, "callbacks decided"),
        (done.expired, "not sent in time"),
        (done.failed, "failed"),
    )
    said = [f"{count} {what}" for count, what in parts if count]
    return ", ".join([f"{done.asked} asked", *said])
