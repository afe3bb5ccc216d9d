"""The SMTP catcher takes mail, refuses it, and hangs up after it has taken it."""

import smtplib
from email.message import EmailMessage

import pytest


def send(catcher, subject="Invoice 7"):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "billing@example.com", "ada@example.com", subject
    message.set_content("Two brass plaques: 93.54 £")
    with smtplib.SMTP(catcher.host, catcher.port, timeout=5) as client:
        client.send_message(message)


def test_what_was_sent_is_there(smtp_catcher):
    send(smtp_catcher)
    (mail,) = smtp_catcher.sent_to("ada@example.com")
    assert (mail.sender, mail.subject) == ("billing@example.com", "Invoice 7")
    assert mail.message.get_content().strip() == "Two brass plaques: 93.54 £"
    assert smtp_catcher.sent_to("eve@example.com") == []


@pytest.mark.parametrize("answer", ["451 try again later", "554 not wanted"])
def test_a_mail_is_refused_so_many_times(smtp_catcher, answer):
    smtp_catcher.refuse(answer, times=1)
    with pytest.raises(smtplib.SMTPDataError) as caught:
        send(smtp_catcher)
    assert caught.value.smtp_code == int(answer[:3])
    assert (smtp_catcher.mails, smtp_catcher.refused) == ([], 1)
    send(smtp_catcher)
    assert len(smtp_catcher.mails) == 1


def test_a_recipient_is_refused_until_healed(smtp_catcher):
    smtp_catcher.refuse("550 no such person", at="rcpt")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(smtp_catcher)
    smtp_catcher.heal()
    send(smtp_catcher)
    assert len(smtp_catcher.mails) == 1


def test_the_answer_after_data_is_lost_though_the_mail_was_taken(smtp_catcher):
    smtp_catcher.drop_after_data(times=1)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(smtp_catcher)
    assert len(smtp_catcher.mails) == 1
    send(smtp_catcher)
    assert len(smtp_catcher.mails) == 2
