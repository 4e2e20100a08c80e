"""Boat tickets, paid with M-Pesa: the records, the pages, what is done once, and the commands.

What differs between places comes from the environment: SHOP_DIRECTORY, where the database and the
certificate are kept; SHOP_PORT for HTTPS, from 11000 to 19000, as the gateway calls no other;
SHOP_SECRET_KEY; SHOP_SEND, "now" or "worker"; MPESA_ACCOUNT_FILE, which the local gateway writes;
and MPESA_CALLBACK_TOKEN.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import click
import uvicorn
from babel.numbers import format_decimal
from fastapi import Depends, FastAPI, Form, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from sqlalchemy import Numeric, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session
from sqlalchemy.pool import NullPool
from starlette.exceptions import HTTPException as AnyHTTPException

from example_sites.https_server import HOST, PORT_TAKEN
from mpesa_integrations import MpesaConfig, State, ValidationError
from mpesa_integrations.commands import pay as pay_by_command
from mpesa_integrations.commands import reconcile as reconcile_by_command
from mpesa_integrations.commands import work
from mpesa_integrations.signals import payment_completed, payment_reversed
from mpesa_integrations.simulator.tls import prepare_certificates
from mpesa_integrations.sqlalchemy import (
    CallbackLogMixin,
    Mpesa,
    OutboxMixin,
    Records,
    TransactionMixin,
)
from mpesa_integrations.worker.options import WorkerOptions

logger = logging.getLogger(__name__)

# ---- Settings

HERE = Path(__file__).parent
DIRECTORY = Path(os.environ["SHOP_DIRECTORY"])
PORT = int(os.environ["SHOP_PORT"])
# With an account of Vodacom's, these values come from the portal.
_LOCAL = asdict(MpesaConfig.from_account_file(os.environ["MPESA_ACCOUNT_FILE"]))
ACCOUNT: dict[str, Any] = {
    **{name.upper(): value for name, value in _LOCAL.items()},
    # "worker": the call returns at once, and a worker asks for the money; docs/workers.md.
    "SEND": os.environ.get("SHOP_SEND", "now"),
    "CALLBACK_TOKEN": os.environ["MPESA_CALLBACK_TOKEN"],
    "CALLBACK_BASE_URL": f"https://{HOST}:{PORT}",
}

# ---- Records


class Base(DeclarativeBase):
    pass


class Payment(TransactionMixin, Base):
    __tablename__ = "payment"


class PaymentCallback(CallbackLogMixin, Base):
    __tablename__ = "payment_callback"


class PaymentOutboxEntry(OutboxMixin, Base):
    __tablename__ = "payment_outbox_entry"


class Booking(Base):
    __tablename__ = "booking"
    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[uuid.UUID] = mapped_column(unique=True, default=uuid.uuid4)
    """Its address: whoever has it may see the booking."""
    trip: Mapped[str]
    seats: Mapped[int]
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    ticketed_at: Mapped[datetime | None]

    @property
    def reference(self) -> str:
        """What the customer reads on the phone and on the statement."""
        return f"BOAT {self.id}"


engine = create_engine(
    f"sqlite:///{DIRECTORY.absolute() / 'shop.sqlite3'}",
    poolclass=NullPool,
    connect_args={"timeout": 20},
)
records = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry)
Base.metadata.create_all(engine)
mpesa = Mpesa(
    {"default": ACCOUNT},
    records=records,
    secret_keys=[os.environ["SHOP_SECRET_KEY"]],
    status_path="/mpesa/status/{}/".format,
    in_production=False,  # that no production gateway is used is what this example is about
)

# ---- What is done once


@mpesa.handler(payment_completed)
def write_tickets(payment: Payment) -> None:
    booking = _booking_of(payment)
    # It may have been given back meanwhile, where this was tried again.
    if booking is not None and payment.state != State.REVERSED:
        booking.ticketed_at = datetime.now(timezone.utc)
        logger.info("%s is paid, and has its tickets", booking.reference)


@mpesa.handler(payment_reversed)
def take_tickets_back(payment: Payment) -> None:
    booking = _booking_of(payment)
    if booking is not None and payment.state == State.REVERSED:
        booking.ticketed_at = None
        logger.info("%s was given back, and has no tickets", booking.reference)


def _booking_of(payment: Payment) -> Booking | None:
    """Read it in the handler's own transaction, which is the payment's."""
    session = object_session(payment)
    return session.get(Booking, int(payment.order_key or 0)) if session else None


# ---- What is sold, and the words


@dataclass(frozen=True)
class Trip:
    slug: str
    name: str
    description: str
    price: Decimal


TRIPS = {
    trip.slug: trip
    for trip in (
        Trip("catembe", "Across to Catembe", "Every half hour, 20 minutes", Decimal(50)),
        Trip("inhaca", "To Inhaca and back", "Saturday at 7:30, with lunch", Decimal("1850.50")),
        Trip("sunset", "The bay at sunset", "Each evening, an hour and a half", Decimal(900)),
    )
}
SEATS = [str(number) for number in range(1, 13)]
"""How many of them a booking may have, as the form sends it."""
PORTUGUESE = {
    "Across to Catembe": "Travessia para a Catembe",
    "Every half hour, 20 minutes": "De meia em meia hora, 20 minutos",
    "To Inhaca and back": "Ida e volta à Inhaca",
    "Saturday at 7:30, with lunch": "Sábado às 7:30, com almoço",
    "The bay at sunset": "A baía ao pôr do sol",
    "Each evening, an hour and a half": "Todas as tardes, uma hora e meia",
    "Where shall we take you?": "Para onde o levamos?",
    "Book here, pay with M-Pesa on your phone, and board with your booking's number.":
        "Reserve aqui, pague com M-Pesa no seu telefone, e embarque com o número da reserva.",
    "a seat": "por lugar",
    "Trip": "Viagem",
    "Seats": "Lugares",
    "Book": "Reservar",
    "You see the total before you pay.": "Vê o total antes de pagar.",
    "Choose one of the trips.": "Escolha uma das viagens.",
    "Take a number of seats from 1 to 12.": "Indique de 1 a 12 lugares.",
    "Skip to the content": "Saltar para o conteúdo",
    "Language": "Língua",
    "An example site of mpesa-integrations. No boat sails, and no real money moves.":
        "Um site de exemplo de mpesa-integrations. Nenhum barco parte, e nenhum dinheiro real se "
        "move.",
    "Please correct": "Por favor, corrija",
    "Pay with M-Pesa": "Pagar com M-Pesa",
    "Confirm on your phone with your PIN": "Confirme no seu telefone com o seu PIN",
    "We are checking your payment": "Estamos a verificar o seu pagamento",
    "We are looking into your payment": "Estamos a analisar o seu pagamento",
    "Your money is on its way back": "O seu dinheiro está a ser devolvido",
    "Thank you, it is paid": "Obrigado, está pago",
    "It was not paid": "Não foi pago",
    "You cancelled the payment": "Cancelou o pagamento",
    "We gave you a part of your money back": "Devolvemos uma parte do seu dinheiro",
    "We gave you your money back": "Devolvemos o seu dinheiro",
    "Phone number with M-Pesa": "Número de telefone com M-Pesa",
    "As 84 123 4567. This phone will ask for your PIN.":
        "Como 84 123 4567. Este telefone vai pedir o seu PIN.",
    "Type the phone number that pays.": "Escreva o número de telefone que paga.",
    "Pay": "Pagar",
    "Try again": "Tentar de novo",
    "Use the same number or another one.": "Use o mesmo número ou outro.",
    "Asking M-Pesa…": "A pedir ao M-Pesa…",
    "Press once: your phone asks for your PIN. Type the PIN only on your phone; we never ask for it.":  # noqa: E501
        "Carregue uma vez: o seu telefone pede o PIN. Escreva o PIN só no telefone; nós nunca o "
        "pedimos.",
    "We asked this phone:": "Pedimos a este telefone:",
    "This page goes on by itself. Reload it, or close it and come back: you will not be charged twice.":  # noqa: E501
        "Esta página continua sozinha. Recarregue-a, ou feche-a e volte: não paga duas vezes.",
    "Board with this number": "Embarque com este número",
    "Your tickets are being written.": "Os seus bilhetes estão a ser emitidos.",
    "These tickets are no longer good: all of their money was given back.":
        "Estes bilhetes já não valem: todo o dinheiro foi devolvido.",
    "M-Pesa transaction ID": "ID da transação M-Pesa",
    "Amount": "Montante",
    "Given back": "Devolvido",
    "Being given back": "A ser devolvido",
    "Paid from": "Pago por",
    "Booking": "Reserva",
    "Total": "Total",
    "Book another trip": "Reservar outra viagem",
    "There is no such page": "Esta página não existe",
    "Perhaps its address was not copied whole. The page of a booking has a long one.":
        "Talvez o endereço não tenha sido copiado por inteiro. O de uma reserva é comprido.",
    "That did not come from our pages": "Isso não veio das nossas páginas",
    "Nothing was booked or paid by it. Open our page, and try again from there.":
        "Nada foi reservado nem pago. Abra a nossa página, e tente de novo a partir dela.",
    "Something went wrong here": "Algo correu mal aqui",
    "It is our fault. If you were paying, do not pay again yet: your booking's page says in a few minutes where the payment stands.":  # noqa: E501
        "A culpa é nossa. Se estava a pagar, não pague ainda outra vez: a página da reserva diz "
        "dentro de minutos em que ponto está o pagamento.",
    "Back to the trips": "Voltar às viagens",
}  # fmt: skip
HEADINGS = {
    "new": "Pay with M-Pesa",
    "waiting": "Confirm on your phone with your PIN",
    "checking": "We are checking your payment",
    "disputed": "We are looking into your payment",
    "returning": "Your money is on its way back",
    "completed": "Thank you, it is paid",
    "failed": "It was not paid",
    "cancelled": "You cancelled the payment",
    "partly_reversed": "We gave you a part of your money back",
    "reversed": "We gave you your money back",
}
PROBLEMS = {
    403: (
        "That did not come from our pages",
        "Nothing was booked or paid by it. Open our page, and try again from there.",
    ),
    404: (
        "There is no such page",
        "Perhaps its address was not copied whole. The page of a booking has a long one.",
    ),
    500: (
        "Something went wrong here",
        "It is our fault. If you were paying, do not pay again yet: your booking's page says in a "
        "few minutes where the payment stands.",
    ),
}

# ---- Pages

app = FastAPI(openapi_url=None)
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
templates = Jinja2Templates(HERE / "templates")


@app.get("/")
async def trips(request: Request) -> Response:
    return _page(request, "trips.html", trips=TRIPS.values())


@app.post("/")
def book(
    request: Request, trip: Annotated[str, Form()] = "", seats: Annotated[str, Form()] = ""
) -> Response:
    """Write a booking down, which is paid on its own page."""
    problem = ""
    if trip not in TRIPS:
        problem = "Choose one of the trips."
    elif seats not in SEATS:
        problem = "Take a number of seats from 1 to 12."
    if problem:
        shown = {"trips": TRIPS.values(), "problem": problem, "chosen": trip, "seats": seats}
        return _page(request, "trips.html", 400, **shown)
    booking = Booking(trip=trip, seats=int(seats), total=TRIPS[trip].price * int(seats))
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.add(booking)
    return RedirectResponse(f"/orders/{booking.token}/", 303)


def find_booking(token: uuid.UUID) -> Booking:
    with Session(engine) as session:
        booking = session.scalar(select(Booking).where(Booking.token == token))
    if booking is None:
        raise HTTPException(404)
    return booking


Found = Annotated[Booking, Depends(find_booking)]


@app.get("/orders/{token}/")
async def order(request: Request, booking: Found) -> Response:
    return await _order_page(request, booking)


@app.post("/orders/{token}/")
async def pay(request: Request, booking: Found, msisdn: Annotated[str, Form()] = "") -> Response:
    """Ask the phone for a booking's money, unless a payment of it is open or paid."""
    words = _words(request)["_"]
    if not msisdn.strip():
        return await _order_page(request, booking, words("Type the phone number that pays."))
    try:
        # No thread waits while the customer types the PIN.
        await mpesa.ac2b(
            order=booking.id, msisdn=msisdn, amount=booking.total, reference=booking.reference
        )
    except ValidationError as error:
        wrong = error.errors_in(_language(request))
        if "msisdn" in wrong:
            problem = wrong["msisdn"][0]
        elif "amount" in wrong:  # the booking has a payment of another amount
            problem = f"{words('Amount')}: {wrong['amount'][0]}"
        else:
            raise
        return await _order_page(request, booking, problem, msisdn)
    return RedirectResponse(f"/orders/{booking.token}/", 303)


@app.post("/language/")
async def language(language: Annotated[str, Form()], next: Annotated[str, Form()] = "") -> Response:
    try:
        path = f"/orders/{uuid.UUID(next)}/"  # never to another site
    except ValueError:
        path = "/"
    answer = RedirectResponse(path, 303)
    if language in ("en", "pt"):
        answer.set_cookie("language", language, secure=True, httponly=True, samesite="lax")
    return answer


async def _order_page(
    request: Request, booking: Booking, problem: str = "", typed: str = ""
) -> Response:
    payment = await mpesa.astanding(booking.id)
    status = _status(payment)
    return _page(
        request,
        "order.html",
        400 if problem else 200,
        booking=booking,
        trip=TRIPS[booking.trip],
        payment=payment,
        status=status,
        heading=HEADINGS[status],
        message=payment.customer_message(_language(request)) if payment else "",
        status_url=mpesa.status_url(payment) if payment else "",
        problem=problem,
        typed=typed,
        here=booking.token,
    )


def _status(payment: Payment | None) -> str:
    """Where a booking stands, in a word."""
    if payment is None:
        return "new"
    if payment.is_open:
        in_doubt = payment.state == State.UNKNOWN or payment.stuck_at or payment.conflict
        return "checking" if in_doubt else "waiting"
    if payment.state in (State.FAILED, State.CANCELLED) and not payment.may_retry:
        return "disputed"
    return "returning" if payment.reversal_pending else payment.state


def _page(request: Request, template: str, code: int = 200, **shown: Any) -> Response:
    return templates.TemplateResponse(
        request, template, {**_words(request), **shown}, status_code=code
    )


def _words(request: Request) -> dict[str, Any]:
    """What a template writes texts and amounts with, in the page's language."""
    chosen = _language(request)
    return {
        "language": chosen,
        "_": PORTUGUESE.__getitem__ if chosen == "pt" else str,
        "meticais": lambda amount: f"{format_decimal(amount, '#,##0.00', locale=chosen)}\xa0MZN",
    }


def _language(request: Request) -> str:
    """What the visitor chose; before that, what the browser asks for first."""
    chosen = request.cookies.get("language") or request.headers.get("accept-language", "")[:2]
    return "pt" if chosen.lower() == "pt" else "en"


# ---- The gateway's and the script's addresses


@app.post("/mpesa/callback/{token}")
@app.post("/mpesa/callback/{token}/")
async def callback(token: str, request: Request) -> Response:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > 65_536:
            break
    answer = await asyncio.to_thread(
        mpesa.answer_callback,
        token,
        body,
        content_type=request.headers.get("content-type", ""),
        remote_address=request.client.host if request.client else "",
        forwarded_for=", ".join(request.headers.getlist("x-forwarded-for")),
    )
    return JSONResponse(dict(answer.body), answer.status)


@app.get("/mpesa/status/{token}/")
async def status(token: str, request: Request) -> Response:
    """Tell the page's script where a payment stands, as events where it asks for those."""
    chosen = _language(request)
    answer = await asyncio.to_thread(mpesa.answer_status, token, chosen)
    if answer.status == 200 and "text/event-stream" in request.headers.get("accept", ""):
        return StreamingResponse(
            mpesa.status_events(token, chosen),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )
    return Response(answer.content, answer.status, media_type=answer.content_type)


# ---- What is wrong


@app.middleware("http")
async def harden(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Take no form from another site, and let nothing run that is not the shop's own."""
    origin = request.headers.get("origin")
    if request.method == "POST" and origin is not None and not _is_ours(origin, request):
        response = _problem(request, 403)
    else:
        response = await call_next(request)
    response.headers["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    if not request.url.path.startswith("/static/"):
        response.headers["Cache-Control"] = "private, no-store"
    return response


@app.exception_handler(AnyHTTPException)
@app.exception_handler(RequestValidationError)
async def missing(request: Request, error: Exception) -> Response:
    return _problem(request, 404)


@app.exception_handler(Exception)
async def broken(request: Request, error: Exception) -> Response:
    return _problem(request, 500)  # the server logs what it was


def _is_ours(origin: str, request: Request) -> bool:
    return origin == f"https://{request.headers.get('host')}"


def _problem(request: Request, code: int) -> Response:
    title, text = PROBLEMS[code]
    return _page(request, "problem.html", code, title=title, text=text)


# ---- Commands


@click.group()
def commands() -> None:
    logging.basicConfig(format="boats: %(message)s", level=logging.WARNING)
    logger.setLevel(logging.INFO)


@commands.command()
def serve() -> None:
    """Serve the shop over HTTPS until Ctrl-C."""
    _, certificate = prepare_certificates(DIRECTORY, ())
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, PORT))
    except OSError:
        sys.exit(PORT_TAKEN)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # it would have the callback's token
        ssl_certfile=certificate,
        ssl_keyfile=certificate,
        timeout_graceful_shutdown=1,
    )
    with listening:
        uvicorn.Server(config).run([listening])


@commands.command()
@click.option("--poll", default=WorkerOptions().poll, help="Seconds between two looks.")
def worker(poll: float) -> None:
    """Send what is queued, ask for what is open, and run handlers again, until told to stop."""
    sys.exit(work(mpesa.worker(WorkerOptions(poll=poll), echo=click.echo)))


@commands.command()
@click.option("--now", is_flag=True, help="Ask for those, too, that are not due yet.")
def reconcile(now: bool) -> None:
    """Ask the gateway what became of payments whose outcome is open."""
    sys.exit(
        reconcile_by_command(
            mpesa, every=None, batch=100, workers=4, rate=None, now=now, echo=click.echo
        )
    )


@commands.command()
@click.argument("transaction_id")
@click.option("--amount", help="Meticais; all that is left, if left out.")
def reverse(**arguments: Any) -> None:
    """Give a payment's money back, all of it or a part."""
    sys.exit(pay_by_command(mpesa.reverse, arguments, click.echo))


@commands.command()
def show() -> None:
    """Show the payments and the bookings."""
    with Session(engine) as session:
        for payment in session.scalars(select(Payment).order_by(Payment.id)):
            told = (payment.state, payment.amount, payment.masked_msisdn, payment.transaction_id)
            click.echo("payment  " + "  ".join(map(str, told)))
        for booking in session.scalars(select(Booking).order_by(Booking.id)):
            has = "has its tickets" if booking.ticketed_at else "has no tickets"
            click.echo(f"{booking.reference}  {booking.total}  {has}")
