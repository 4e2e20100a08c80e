"""Run by test_sentry: a shop with Sentry's SDK as it comes; it patches, so in a process of its own.

Reads the account's settings as JSON; writes what would have been sent, an event a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from werkzeug.test import Client

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.sending import Sender
from mpesa_integrations.core.protocol.schemas import RequestSchema
from tests.support.reports import NUMBER

sent: list[Any] = []


class Kept(Transport):
    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            sent.append(json.loads(item.get_bytes()))


def django_site(account: dict[str, Any], directory: Path) -> tuple[Any, Any, Any]:
    import django
    from django.conf import settings

    from tests.django import settings as of_tests

    found = {name: value for name, value in vars(of_tests).items() if name.isupper()}
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(directory / "django.sqlite3")}
    settings.configure(
        **{
            **found,
            "ROOT_URLCONF": "tests.django.reporting_urls",
            "DATABASES": {"default": database},
            "MPESA": {"default": account},
            "DEBUG": False,
        }
    )
    django.setup()
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    from django_mpesa import mpesa, signals

    call_command("migrate", verbosity=0)
    return get_wsgi_application(), mpesa, signals.payment_completed


def flask_site(account: dict[str, Any], directory: Path) -> tuple[Any, Any, Any]:
    from flask import Flask
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    from flask_mpesa import Mpesa, signals
    from flask_mpesa.records import Records
    from tests.flask.models import Base, Payment, PaymentCallback, PaymentOutboxEntry

    engine = create_engine(f"sqlite:///{directory / 'flask.sqlite3'}", poolclass=NullPool)
    Base.metadata.create_all(engine)
    app = Flask("shop")
    app.config.update({f"MPESA_{name}": value for name, value in account.items()})
    mpesa = Mpesa(app, records=Records(engine, Payment, PaymentCallback, PaymentOutboxEntry))

    @app.get("/pay/")
    def pay() -> str:
        return str(mpesa.c2b(msisdn=NUMBER, amount="150", reference="ORDER 7").state)

    @app.get("/name/")
    def ask_name() -> str:
        return str(mpesa.query_customer_name(msisdn=NUMBER).customer_name)

    @app.get("/fail/")
    def fail() -> str:
        raise RuntimeError("of the shop's own")

    app.app_context().push()
    return app, mpesa, signals.payment_completed


def main() -> None:
    framework, directory = sys.argv[1], Path(sys.argv[2])
    account = json.loads(sys.stdin.read())
    sys.argv = ["manage.py", "mpesa_c2b", "--msisdn", NUMBER]
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Kept)
    make: Callable[..., tuple[Any, Any, Any]] = {"django": django_site, "flask": flask_site}[
        framework
    ]
    application, mpesa, completed = make(account, directory)
    client = Client(application)

    def visit(page: str, **post: Any) -> int:
        try:
            return client.open(page, **post).status_code
        except Exception as error:  # noqa: BLE001 - as a server would see it
            sentry_sdk.capture_exception(error)
            return 500

    broken = mock.Mock(side_effect=RuntimeError("x"))
    places: list[tuple[Any, str]] = [(RequestSchema, "load"), (Sender, "begin")]
    for owner, name in places:
        with mock.patch.object(owner, name, broken):
            assert visit("/pay/") == 500, name
    with mock.patch("mpesa_integrations.core.protocol.exchange.interpret", broken):
        assert visit("/name/") == 500
        assert visit("/pay/") == 200
    with sentry_sdk.isolation_scope():
        mpesa.query_customer_name(msisdn=NUMBER)
        sentry_sdk.capture_message("after a call")
    with sentry_sdk.isolation_scope():
        assert visit("/fail/") == 500

    pending = mpesa.c2b(msisdn=NUMBER, amount="150", reference="LATER")
    assert pending.state == "pending", pending.state
    body = {
        "input_OriginalConversationID": pending.conversation_id,
        "input_ThirdPartyReference": pending.third_party_reference,
        "input_TransactionID": "4XDF12345",
        "input_ResultCode": "0",
        "input_ResultDesc": "done",
    }
    callback: Any = {"method": "POST", "json": body}
    path = f"/mpesa/callback/{account['CALLBACK_TOKEN']}/"
    with mock.patch.object(Payments, "receive", broken):
        assert visit(path, **callback) == 500

    def receiver(*args: Any, **values: Any) -> None:
        raise RuntimeError("of the receiver")

    completed.connect(receiver)
    assert visit(path, **callback) == 200
    sys.stdout.write("\n".join(json.dumps(event) for event in sent))


main()
