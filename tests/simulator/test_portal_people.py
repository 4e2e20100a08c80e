"""The portal's people: their details, what they sign in with, a forgotten password, the phone."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpesa_integrations.simulator import Simulator
from tests.support.raw import new_reference

from .portal_client import PortalClient

PASSWORD, ANOTHER = "a long password", "another long password"


@pytest.fixture
def ana(mpesa_simulator: Simulator) -> Iterator[PortalClient]:
    """Somebody with an account of her own, signed in."""
    client = PortalClient(mpesa_simulator)
    client.sign_up_and_in()
    yield client
    client.close()


@pytest.fixture
def email(ana: PortalClient) -> str:
    found = re.search(r"<dd>([^<]+@example\.com)</dd>", ana.get("profile").text)
    assert found
    return found[1]


class TestDetails:
    def test_name_and_company_are_kept(self, ana: PortalClient) -> None:
        ana.post("profile/details", on="profile", name=" Ana <Macuácua> ", company="Café & Filhos")
        assert "saved" in ana.page
        assert 'value="Ana &lt;Macuácua&gt;"' in ana.page
        assert 'value="Café &amp; Filhos"' in ana.page

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [("name", "a" * 101, "use 100 at most"), ("company", "a\nb", "on one line")],
    )
    def test_what_is_wrong_is_said_beside_the_field(
        self, ana: PortalClient, field: str, value: str, words: str
    ) -> None:
        given = {"name": "", "company": "", field: value}
        answer = ana.post("profile/details", on="profile", **given)
        assert answer.status_code == 400
        problem = re.search(rf'id="{field}-problem">([^<]*)<', answer.text)
        assert problem
        assert words in problem[1]

    def test_another_sees_nothing_of_them(
        self, ana: PortalClient, portal: PortalClient, email: str
    ) -> None:
        ana.post("profile/details", on="profile", name="Ana Macuácua", company="")
        for path in ("profile", "account", "customers"):
            assert "Ana Macuácua" not in portal.get(path).text
            assert email not in portal.page


class TestSigningInWithSomethingElse:
    def test_a_new_email_address_is_ones_own_once_its_letter_was_opened(
        self, ana: PortalClient, email: str
    ) -> None:
        new = f"new-{email}"
        ana.post("profile/email", on="profile", email=new.upper(), current_password=PASSWORD)
        assert email in ana.get("profile").text
        letter = ana.open_letter(new)
        assert "is changed" in letter.text
        assert ana.sign_in(email, PASSWORD).status_code == 400
        assert ana.sign_in(new, PASSWORD).url.endswith("/account")
        assert "no longer good" in ana.open_letter(new).text

    def test_an_address_that_is_taken_gets_no_letter_and_is_not_told(
        self, ana: PortalClient, email: str, portal: PortalClient
    ) -> None:
        ready = portal.simulator.portal_account.email
        answer = ana.post("profile/email", on="profile", email=ready, current_password=PASSWORD)
        assert answer.url.endswith("/outbox")
        assert ready not in answer.text
        assert email in ana.get("profile").text

    def test_a_user_name_signs_in_as_the_address_does(
        self, ana: PortalClient, email: str, mpesa_simulator: Simulator
    ) -> None:
        name = f"ana.{new_reference().lower()}"
        ana.post("profile/user-name", on="profile", user_name=name, current_password=PASSWORD)
        assert ana.sign_in(name.upper(), PASSWORD).url.endswith("/account")
        other = PortalClient(mpesa_simulator)
        other.sign_up_and_in()
        answer = other.post(
            "profile/user-name", on="profile", user_name=name, current_password=PASSWORD
        )
        assert answer.status_code == 400
        assert "Somebody has this name" in answer.text
        ana.post("profile/user-name", on="profile", user_name="", current_password=PASSWORD)
        assert ana.sign_in(name, PASSWORD).status_code == 400
        other.post("profile/user-name", on="profile", user_name=name, current_password=PASSWORD)
        assert other.sign_in(name, PASSWORD).url.endswith("/account")
        other.close()

    @pytest.mark.parametrize("name", ["ab", "ana@example.com", "-ana", "a b c", "a" * 31])
    def test_a_user_name_that_is_none_is_refused(self, ana: PortalClient, name: str) -> None:
        answer = ana.post(
            "profile/user-name", on="profile", user_name=name, current_password=PASSWORD
        )
        assert answer.status_code == 400
        assert "Use 3 to 30 letters and digits" in answer.text

    def test_a_new_password_ends_the_sessions_of_the_old_one_but_this(
        self, ana: PortalClient, email: str, mpesa_simulator: Simulator
    ) -> None:
        elsewhere = PortalClient(mpesa_simulator)
        elsewhere.sign_in(email, PASSWORD)
        ana.post("profile/password", on="profile", new_password=ANOTHER, current_password=PASSWORD)
        assert "is changed" in ana.page
        assert ana.get("account").url.endswith("/account")
        assert "/sign-in" in elsewhere.get("account").url
        assert elsewhere.sign_in(email, PASSWORD).status_code == 400
        assert elsewhere.sign_in(email, ANOTHER).url.endswith("/account")
        elsewhere.close()

    @pytest.mark.parametrize(
        ("form", "field", "value"),
        [
            ("email", "email", "new@example.com"), ("user-name", "user_name", "ana.m"),
            ("password", "new_password", ANOTHER),
        ],
    )  # fmt: skip
    def test_each_change_asks_for_the_password(
        self, ana: PortalClient, email: str, form: str, field: str, value: str
    ) -> None:
        answer = ana.post(
            f"profile/{form}", on="profile", **{field: value, "current_password": "wrong"}
        )
        assert answer.status_code == 400
        assert "This is not your password" in answer.text
        assert value not in answer.text or form != "password"
        assert ana.sign_in(email, PASSWORD).url.endswith("/account")

    def test_the_ready_made_account_stays_what_the_gateway_says(
        self, portal: PortalClient, mpesa_simulator: Simulator
    ) -> None:
        ready = mpesa_simulator.portal_account
        assert "This account is ready-made" in portal.get("profile").text
        answer = portal.post(
            "profile/password", on="profile", new_password=ANOTHER, current_password=ready.password
        )
        assert answer.status_code == 400
        assert portal.sign_in().url.endswith("/account")


class TestForgottenPassword:
    def test_the_letter_sets_another_once(self, ana: PortalClient, email: str) -> None:
        ana.post("sign-out", on="account")
        answer = ana.post("forgotten-password", on="forgotten-password", email=email)
        assert answer.url.endswith("/outbox")
        page = ana.open_letter(email).url
        assert "/new-password/" in page
        short = ana.post(page, on=page, password="short")
        assert short.status_code == 400
        assert "at least 10 characters" in short.text
        assert ana.post(page, on=page, password=ANOTHER).url.endswith("/sign-in")
        assert "no longer good" in ana.get(page).text
        assert ana.sign_in(email, PASSWORD).status_code == 400
        assert ana.sign_in(email, ANOTHER).url.endswith("/account")

    def test_the_letter_is_good_for_an_hour_and_until_the_next(self, state_dir: Path) -> None:
        with Simulator(state_dir) as simulator:
            client = PortalClient(simulator)
            email = client.sign_up_and_in()
            client.post("forgotten-password", on="forgotten-password", email=email)
            first = client.open_letter(email).url
            client.post("forgotten-password", on="forgotten-password", email=email)
            second = client.open_letter(email).url
            assert "no longer good" in client.get(first).text
            assert client.get(second).url == second
            database = sqlite3.connect(state_dir / "portal.sqlite3")
            database.execute("UPDATE token SET expires_at = '2020-01-01T00:00:00+00:00'")
            database.commit()
            database.close()
            assert "no longer good" in client.get(second).text
            client.close()

    @pytest.mark.parametrize("name", ["nobody@example.com", "developer@example.com", ""])
    def test_nobody_is_told_who_has_an_account(self, visitor: PortalClient, name: str) -> None:
        before = visitor.get("outbox").text.count("<article")
        answer = visitor.post("forgotten-password", on="forgotten-password", email=name)
        assert "If there is such an account" in answer.text
        assert answer.text.count("<article") == before

    def test_no_token_and_no_password_is_kept_as_it_is(self, ana: PortalClient, email: str) -> None:
        ana.post("forgotten-password", on="forgotten-password", email=email)
        token = ana.open_letter(email).url.rpartition("/")[2]
        database = sqlite3.connect(ana.simulator.state_dir / "portal.sqlite3")
        for table in ("user", "token"):
            rows = database.execute(f"SELECT * FROM {table}").fetchall()
            assert rows
            assert token not in str(rows)
            assert PASSWORD not in str(rows)
        database.close()


class TestPhone:
    @pytest.fixture
    def newcomer(self, mpesa_simulator: Simulator) -> Iterator[PortalClient]:
        """Somebody whose account is active, at the first sign-in."""
        client = PortalClient(mpesa_simulator)
        client.begin()
        yield client
        client.close()

    def test_it_comes_before_all_else_and_leads_back(self, newcomer: PortalClient) -> None:
        for path in ("account", "apis/c2b", "request-box/c2b", "reports", "log", "profile"):
            assert f"/portal/phone?next=/portal/{path}" in newcomer.get(path).url
        answer = newcomer.get("log/entries?after=0", headers={"HX-Request": "true"})
        assert answer.headers["HX-Redirect"] == "/portal/phone"
        newcomer.post("phone/code", on="phone?next=/portal/reports", phone="84 123 4567")
        newcomer.get("customers")
        code = newcomer.text_of("phone-code")
        answer = newcomer.post("phone/confirm", on="phone", code=code, next="/portal/reports")
        assert answer.url.endswith("/reports")
        assert "phone-code" not in newcomer.get("customers").text

    @pytest.mark.parametrize("number", ["", "12", "+27 82 123 4567", "84 123 456"])
    def test_what_is_no_number_gets_no_code(self, newcomer: PortalClient, number: str) -> None:
        answer = newcomer.post("phone/code", on="phone", phone=number)
        assert answer.status_code == 400
        assert "as in 84 123 4567" in answer.text
        assert "phone-code" not in newcomer.get("customers").text

    def test_five_wrong_codes_and_the_right_one_is_gone(self, newcomer: PortalClient) -> None:
        newcomer.post("phone/code", on="phone", phone="84 123 4567")
        newcomer.get("customers")
        code = newcomer.text_of("phone-code")
        wrong = f"{(int(code) + 1) % 10**6:06}"
        for given in (wrong, "", "\uff11" * 6, wrong, wrong):
            answer = newcomer.post("phone/confirm", on="phone", code=given)
            assert answer.status_code == 400
            assert "This is not the code that was sent" in answer.text
        assert newcomer.post("phone/confirm", on="phone", code=code).status_code == 400
        assert newcomer.confirm_phone("84 123 4567").url.endswith("/account")

    def test_nobody_else_sees_the_code(self, newcomer: PortalClient, portal: PortalClient) -> None:
        newcomer.post("phone/code", on="phone", phone="84 123 4567")
        newcomer.get("customers")
        assert newcomer.text_of("phone-code")
        assert "phone-code" not in portal.get("customers").text

    def test_it_is_changed_once_the_new_one_is_confirmed(self, ana: PortalClient) -> None:
        ana.post("phone/code", on="phone", phone="87 765 4321")
        assert "258841234567" in ana.get("profile").text
        ana.confirm_phone("87 765 4321")
        assert "258877654321" in ana.get("profile").text


def test_on_another_address_letters_are_for_whom_they_are_about(state_dir: Path) -> None:
    with Simulator(state_dir) as simulator:
        client = PortalClient(simulator)
        ana, berta = client.sign_up_and_in(), client.sign_up_and_in()
    with Simulator(state_dir, host="0.0.0.0") as simulator:
        client.simulator = simulator
        client.sign_in(ana, PASSWORD)
        client.post("forgotten-password", on="forgotten-password", email=berta)
        assert client.page.count("new-password/") == 0
        assert berta not in client.get("outbox").text
        assert ana in client.page
        client.sign_in()
        assert berta in client.get("outbox").text
        client.close()
