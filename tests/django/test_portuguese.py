"""The admin in Portuguese, as LocaleMiddleware chooses it for whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import translation
from pytest_django import Settings

from django_mpesa import mpesa
from django_mpesa.admin import figures
from django_mpesa.models import CallbackLog, Operation, State, Transaction, Verdict
from django_mpesa.times import local
from mpesa_integrations.simulator import Simulator
from tests.support import rows
from tests.support.pages import filled

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/django_mpesa/transaction/"


@pytest.fixture
def browser(settings: Settings) -> Iterator[Client]:
    locale = "django.middleware.locale.LocaleMiddleware"
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], locale, *settings.MIDDLEWARE[1:]]
    settings.TIME_ZONE = "Africa/Maputo"
    client = Client(headers={"Accept-Language": "pt-MZ,pt;q=0.9,en;q=0.5"})
    client.force_login(User.objects.create_superuser("chefe", password="x"))
    yield client
    translation.deactivate()  # the middleware leaves its language to the thread


@pytest.fixture
def paid(simulator: Simulator) -> Any:
    return mpesa.c2b(msisdn="84 123 4567", amount="1150.50", reference="PEDIDO 7")


def _text(answer: Any) -> str:
    content: bytes = answer.getvalue() if answer.streaming else answer.content
    return content.decode("utf-8-sig").replace("\xa0", " ")


def test_list_and_detail(paid: Transaction, browser: Client) -> None:
    seen = _text(browser.get(LIST))
    assert '<html lang="pt"' in seen
    for words in (
        "Transações do M-Pesa", "Relatório", "Exportar em CSV", "Reverter…",
        "Perguntar agora ao gateway", ">Pago<", "Pagamento (C2B)", "1150,50", "Número de telefone",
        "Devolvido em parte", "Em verificação", "por inteiro",
    ):  # fmt: skip
        assert words in seen, words
    seen = _text(browser.get(f"{LIST}{paid.pk}/change/"))
    for words in ("No gateway", "Referência de terceiros", "1150,50", "Datas e horas", "Na loja"):
        assert words in seen, words
    assert "<h1>Transação do M-Pesa</h1>" in seen
    assert "View" not in seen
    chosen = {"action": "ask_gateway", "_selected_action": [paid.pk]}
    assert "Não havia nada a perguntar" in _text(browser.post(LIST, chosen, follow=True))


def test_the_reverse_page_speaks_of_money_as_people_write_it(
    paid: Transaction, browser: Client, simulator: Simulator
) -> None:
    page = f"{LIST}{paid.pk}/reverse/"
    seen = _text(browser.get(page))
    for words in ("Reverter um pagamento", "Valor a devolver, MZN", "1150,50 MZN", "Não, voltar"):
        assert words in seen, words
    assert 'value="1150,50"' in seen
    form = filled(seen)
    wrong = _text(browser.post(page, {**form, "amount": "2000"}))
    assert "no máximo 1150,50 MZN" in wrong
    rows.change(Transaction.objects.all(), transaction_id="not one")
    refused = _text(browser.post(page, {**form, "amount": "150,50"}))
    assert "transaction_id: tem de ser um ID de transação, como 4XDF12345" in refused
    rows.change(Transaction.objects.all(), transaction_id=paid.transaction_id)
    done = _text(browser.post(page, {**form, "amount": "150,50"}, follow=True))
    assert "Foram devolvidos 150,50 MZN" in done
    assert "Devolvido em parte" in done
    stale = {**form, "key": filled(_text(browser.get(page)))["key"]}
    assert "mudou depois de esta página" in _text(browser.post(page, stale, follow=True))


def test_report_and_export(paid: Transaction, browser: Client) -> None:
    rows.change(Transaction.objects.all(), updated_at=paid.created_at + timedelta(seconds=3.5))
    seen = _text(browser.get(f"{LIST}report/"))
    for words in (
        "Relatório", "Taxa de sucesso", "Por dia", "100,0 %", "Tempo mediano", "3,5 s", "1.150,50",
    ):  # fmt: skip
        assert words in seen, words
    chart = browser.get(f"{LIST}report/").context["report"].chart
    assert chart["labels"]["success_rate"] == "Taxa de sucesso, %"
    if connection.features.has_zoneinfo_database:  # MariaDB's tables are loaded by its owner
        assert f"{local(paid.created_at):%d/%m/%Y}" in seen
    heading, row = (line.split(";") for line in _text(browser.get(f"{LIST}export/")).splitlines())
    cells = dict(zip(heading, row, strict=True))
    assert cells["referência_de_terceiros"] == paid.third_party_reference
    assert (cells["valor"], cells["fuso_horário"]) == ("1150,50", "CAT")
    assert cells["criado_em"] == f"{local(paid.created_at):%d/%m/%Y %H:%M:%S}"


def test_callbacks(browser: Client, simulator: Simulator) -> None:
    entry = CallbackLog.objects.create(account="default", body=b"\xff", verdict="unmatched")
    assert "Pagamento desconhecido" in _text(browser.get("/admin/django_mpesa/callbacklog/"))
    seen = _text(browser.get(f"/admin/django_mpesa/callbacklog/{entry.pk}/change/"))
    assert "O corpo não pode ser lido" in seen


def test_no_choice_stays_english() -> None:
    with translation.override("pt"):
        labels = [str(label) for kind in (Operation, State, Verdict) for label in kind.labels]
        assert figures.duration_text(timedelta(hours=2, minutes=5)) == "2 h 5 min"
        assert figures.duration_text(timedelta(seconds=0.84)) == "0,8 s"
    english = [str(label) for kind in (Operation, State, Verdict) for label in kind.labels]
    assert not set(labels) & set(english)
