"""Mail over real SMTP: what arrives is what was written, and every failure has its name."""

import email
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from email.utils import parseaddr
from ipaddress import ip_address

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.channels.base import CONNECTION, channel, channels
from connectors.channels.email import Email, Server
from connectors.errors import Rejected, Unauthorized, Unavailable, Uncertain
from tests.kit.processes import free_port
from tests.unit.mails import message
from tests.unit.scripted_smtp import HANG_UP, scripted_smtp


def send(url, begin=lambda: None, deadline=10.0, **changes):
    with Email(url, deadline=deadline) as post:
        return post.send(message(**changes), begin)


def arrived(catcher, **changes):
    """The one mail that came, parsed."""
    send(catcher.url, **changes)
    (mail,) = catcher.mails
    return mail


def test_the_channel_is_registered_by_existing():
    assert channels()["email"] is channel("email") is Email
    with pytest.raises(LookupError, match="did you mean 'email'"):
        channel("emial")


# -- what arrives ----------------------------------------------------------------------------------------------------


def test_headers_and_parts_arrive(smtp_catcher):
    receipt = send(smtp_catcher.url, reply_to="Help <help@example.com>", bcc="books@example.com")
    (mail,) = smtp_catcher.mails
    assert (mail.sender, mail.recipients) == ("billing@example.com", ("ada@example.com", "books@example.com"))
    headers = mail.message
    assert headers["From"] == "Engines <billing@example.com>"
    assert headers["To"] == "Ada Lovelace <ada@example.com>"
    assert headers["Reply-To"] == "Help <help@example.com>"
    assert headers["Date"].datetime == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Message-ID"] == "<0198c0de-0000-7000-8000-000000000001@example.com>" == receipt.message_id
    assert "bcc" not in headers
    assert [part.get_content_type() for part in headers.iter_parts()] == ["text/plain", "text/html"]
    assert receipt.answer == "250 OK"


def test_the_message_id_is_the_same_for_every_try():
    post = Email("smtp://localhost")
    assert post.message_id(message()) == post.message_id(message(subject="another", text="another"))
    strange = [post.message_id(message(key=key)) for key in ("a>\r\nX: y", "a>\r\nX: z")]
    assert len(set(strange)) == 2
    assert all("\r" not in one and one.endswith("@example.com>") for one in strange)


@pytest.mark.parametrize(
    "words",
    [
        "Ünïcode & Söhne",
        "🎉 party 👩‍👩‍👧",
        "فاتورة رقم 7",
        "חשבונית",
        "請求書",
        'a "quoted", (odd); name',
        pytest.param("x" * 90, id="long"),
        pytest.param("ж" * 90, id="long-cyrillic"),
        ".",
    ],
)
def test_every_script_arrives_in_names_subject_and_bodies(smtp_catcher, words):
    body = f".{words}\n..\n.\n" + words * 300 + "\n"
    mail = arrived(smtp_catcher, to_name=words, subject=words, text=body, html=body, sender=f"{words} <b@example.com>")
    assert mail.subject == words
    to = email.message_from_bytes(mail.raw)["To"]  # the newer parser puts blanks between encoded words
    assert parseaddr(to)[1] == "ada@example.com"
    assert words in str(make_header(decode_header(to))).replace('\\"', '"')
    assert mail.message["From"].addresses[0].addr_spec == "b@example.com"
    for part in mail.message.iter_parts():
        assert part.get_content().replace("\r\n", "\n") == body
    assert mail.raw.isascii()
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998


def test_a_very_long_subject_and_name_are_cut(smtp_catcher):
    mail = arrived(smtp_catcher, subject="x" * 4000, to_name="y" * 4000)
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("field", ["subject", "to_name", "sender", "headers"])
@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028", "\x00"])
def test_no_name_adds_a_header(smtp_catcher, field, ending):
    evil = f"Ada{ending}Bcc: eve@example.com{ending}{ending}body"
    value = {"sender": f"{evil} <b@example.com>", "headers": {"X-Order": evil}}.get(field, evil)
    mail = arrived(smtp_catcher, **{field: value})
    assert mail.recipients == ("ada@example.com",)
    assert "bcc" not in mail.message
    assert mail.message.is_multipart()


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@", "@example.com", "a da@example.com", "ada@example.com\r\nRCPT TO:<eve@example.com>",
     "ada@example.com, eve@example.com", "ada@example.com>", "ada@exa..mple.com", "a" * 300 + "@example.com"],
)  # fmt: skip
def test_what_is_no_address_is_refused_before_anything_is_sent(smtp_catcher, address):
    with pytest.raises(Rejected, match="cannot be written to"):
        send(smtp_catcher.url, to=address)
    assert smtp_catcher.mails == []


def test_a_header_of_ours_cannot_be_given(smtp_catcher):
    for name in ("To", "Content-Type", "bcc"):
        with pytest.raises(Rejected, match="not for the caller"):
            send(smtp_catcher.url, headers={name: "x"})


def test_international_domains_and_names_arrive(smtp_catcher):
    send(smtp_catcher.url, to="ada@exämple.com")
    with pytest.raises(Rejected, match="SMTPUTF8"), scripted_smtp({}) as (_, url):
        send(url, to="ädä@example.com")
    assert smtp_catcher.sent_to("ada@xn--exmple-cua.com")


# -- every failure has its name --------------------------------------------------------------------------------------


def test_one_connection_carries_many_mails():
    with scripted_smtp({}) as (server, url), Email(url) as post:
        for _ in range(3):
            post.send(message(), lambda: None)
    assert (server.connections, server.mails) == (1, 3)


def test_nobody_listens():
    with pytest.raises(Unavailable, match="cannot be reached, nothing was sent") as caught:
        send(f"smtp://127.0.0.1:{free_port()}")
    assert caught.value.code == CONNECTION


def test_the_name_does_not_resolve(monkeypatch):
    def unknown(*_args, **_kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unavailable, match="Name or service not known"):
        send("smtp://mail.example.com")


REFUSALS = [  # at, answer, error, code, what the message names
    ("HELO", b"554 go away\r\n", Unavailable, CONNECTION, "554 go away"),
    ("MAIL", b"550 not you\r\n", Rejected, None, "refused the sender billing@example.com: 550 not you"),
    ("MAIL", b"530 log in first\r\n", Unauthorized, CONNECTION, "wants another login"),
    ("MAIL", b"451 later\r\n", Unavailable, None, "does not take now"),
    ("MAIL", b"421 closing\r\n", Unavailable, CONNECTION, "421 closing"),
    ("RCPT", b"550 no such user\r\n", Rejected, None, "refused the address ada@example.com: 550 no such user"),
    ("RCPT", b"450-greylisted\r\n450 wait\r\n", Unavailable, None, "450 greylisted wait"),
    ("DATA", b"554 no\r\n", Rejected, None, "554 no"),
    ("DATA", b"250 what?\r\n", Unavailable, None, "what"),
    ("DATA", HANG_UP, Unavailable, CONNECTION, "nothing was sent"),
    (".", b"452 full\r\n", Unavailable, None, "452 full"),
    (".", b"421 closing\r\n", Unavailable, CONNECTION, "421 closing"),
    (".", b"554 spam\r\n", Rejected, None, "refused the mail to ada@example.com: 554 spam"),
    (".", HANG_UP, Uncertain, None, "the connection failed"),
    (".", b"what\r\n", Uncertain, None, "cannot be understood"),
    (".", b"354 more\r\n", Uncertain, None, "cannot be understood"),
]


@pytest.mark.parametrize(("at", "answer", "error", "code", "says"), REFUSALS)
def test_every_refusal_has_its_name(at, answer, error, code, says):
    script = {"HELLO" if at == "HELO" else at: answer}
    with scripted_smtp(script) as (_, url), pytest.raises(error) as caught:
        send(url)
    assert type(caught.value) is error
    assert says in caught.value.message
    assert caught.value.code == code


@pytest.mark.parametrize(("answer", "error"), [("451 try again later", Unavailable), ("554 not wanted", Rejected)])
@pytest.mark.parametrize("at", ["data", "rcpt"])
def test_after_a_refusal_the_connection_takes_the_next_mail(smtp_catcher, answer, error, at):
    smtp_catcher.refuse(answer, times=1, at=at)
    with Email(smtp_catcher.url) as post:
        with pytest.raises(error, match=answer):
            post.send(message(), lambda: None)
        post.send(message(), lambda: None)
    assert len(smtp_catcher.mails) == 1


def test_a_lost_answer_is_uncertain_and_the_mail_is_there(smtp_catcher):
    smtp_catcher.drop_after_data(times=1)
    with pytest.raises(Uncertain, match=r"handed to .* whole"):
        send(smtp_catcher.url)
    assert len(smtp_catcher.mails) == 1


@pytest.mark.parametrize("ended", [b"421 too many mails\r\n", HANG_UP])
def test_a_connection_that_the_server_has_ended_is_opened_again(ended):
    with scripted_smtp({"MAIL": [b"250 OK\r\n", ended, b"250 OK\r\n"]}) as (server, url), Email(url) as post:
        for _ in range(2):
            post.send(message(), lambda: None)
    assert (server.connections, server.mails) == (2, 2)


@pytest.mark.parametrize(("at", "error"), [("HELLO", Unavailable), ("RCPT", Unavailable), (".", Uncertain)])
def test_the_deadline_ends_a_server_that_drips(at, error):
    slow = {at: b"250-slowly\r\n" * 100 if at != "HELLO" else b"220-slowly\r\n" * 100}
    with scripted_smtp(slow, drip_at=at) as (_, url):
        before = datetime.now(UTC)
        with pytest.raises(error):
            send(url, deadline=0.5)
    assert datetime.now(UTC) - before < timedelta(seconds=5)


def test_begin_is_asked_after_the_recipient_and_can_stop_the_mail():
    def stop():
        assert server.heard[-1].upper().startswith("RCPT")
        raise Unavailable("no lease time is left")

    with scripted_smtp({}) as (server, url), pytest.raises(Unavailable, match="no lease time"):
        send(url, stop)
    assert server.mails == 0


def test_a_refused_copy_does_not_keep_the_customer_from_the_mail():
    with scripted_smtp({"RCPT": [b"250 OK\r\n", b"550 who\r\n"]}) as (server, url):
        receipt = send(url, bcc="books@example.com")
    assert server.mails == 1
    assert receipt.warning == "the copy to bcc was refused: 550 who"


# -- URLs, logins, encryption ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", Server("smtp", "mail.example.com", 25)),
        ("smtps://mail.example.com", Server("smtps", "mail.example.com", 465)),
        ("smtp+starttls://u:p@mail.example.com", Server("smtp+starttls", "mail.example.com", 587, "u", "p")),
        ("smtp://u%40x:p%2F%3A%23@[::1]:2525", Server("smtp", "::1", 2525, "u@x", "p/:#")),
    ],
)
def test_urls(url, server):
    assert Server.of(url) == server


@pytest.mark.parametrize(
    "url",
    ["", "mail.example.com", "http://x", "smtp://", "smtp://u:se/cret@h", "smtp://u:secret@h:x", "smtp://[secret"],
)
def test_an_unusable_url_is_said_without_its_password(url):
    with pytest.raises(ValueError, match="is not of the form") as caught:
        Email(url)
    assert "cret" not in str(caught.value)


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """A certificate for 127.0.0.1 that this process trusts; gives the server's TLS context."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "catcher")])
    built = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=1)).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
    )
    pem = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (tmp_path / "cert.pem").write_bytes(pem)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return context


class Post:
    """Takes mail after a login."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
def with_login():
    """Starts SMTP servers that want ada / s3cret@; gives (what they took, their port)."""
    running = []

    def start(**options):
        def check(server, session, envelope, mechanism, data):
            return AuthResult(success=(data.login, data.password) == (b"ada", b"s3cret@"), handled=False)

        post = Post()
        port = free_port()
        controller = Controller(
            post, hostname="127.0.0.1", port=port, authenticator=check, auth_required=True, **options
        )
        controller.start()
        running.append(controller)
        return post, port

    yield start
    for controller in running:
        controller.stop()


def test_a_login_opens_the_door(with_login):
    post, port = with_login(auth_require_tls=False)
    send(f"smtp://ada:s3cret%40@127.0.0.1:{port}")
    assert len(post.mails) == 1


@pytest.mark.parametrize("password", ["wr0ngpass", "s3cr%C3%A9t"])
def test_a_wrong_password_is_unauthorized_and_never_shown(with_login, password):
    post, port = with_login(auth_require_tls=False)
    with pytest.raises(Unauthorized, match="refused the login of 'ada'") as caught:
        send(f"smtp://ada:{password}@127.0.0.1:{port}")
    assert caught.value.code == CONNECTION
    assert "pass" not in caught.value.message.replace("check user and password", "")
    assert caught.value.__cause__ is None
    assert post.mails == []


def test_no_login_is_unauthorized_where_one_is_wanted(with_login):
    _, port = with_login(auth_require_tls=False)
    with pytest.raises(Unauthorized, match="wants another login"):
        send(f"smtp://127.0.0.1:{port}")


def test_a_server_without_login_says_what_to_change():
    with scripted_smtp({}) as (_, url), pytest.raises(Unauthorized, match="offers no login; try smtp\\+starttls"):
        send(url.replace("//", "//ada:x@"))


def test_starttls_before_the_login(with_login, certificate):
    post, port = with_login(tls_context=certificate, require_starttls=True)
    send(f"smtp+starttls://ada:s3cret%40@127.0.0.1:{port}")
    assert len(post.mails) == 1


def test_tls_from_the_first_byte(with_login, certificate):
    post, port = with_login(ssl_context=certificate, auth_require_tls=False)
    send(f"smtps://ada:s3cret%40@127.0.0.1:{port}")
    assert len(post.mails) == 1


def test_a_stranger_s_certificate_is_not_believed(with_login, certificate, monkeypatch):
    post, port = with_login(tls_context=certificate, require_starttls=True)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unavailable, match="nothing was sent"):
        send(f"smtp+starttls://ada:s3cret%40@127.0.0.1:{port}")
    assert post.mails == []


def test_a_server_that_cannot_encrypt_gets_no_password():
    with scripted_smtp({}) as (server, url), pytest.raises(Unavailable, match="nothing was sent"):
        send(url.replace("smtp://", "smtp+starttls://ada:secret@"))
    assert not any(line.startswith("AUTH") for line in server.heard)
