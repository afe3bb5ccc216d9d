"""Accounts of one organisation on a platform: what is counted for all of them together must be said once."""

import pytest

from worker.config import ConfigError, load

ACCOUNTS = {
    "zoho_books": """
client_id = "c"
client_secret = "s"
[shop.{0}.account.books.settings]
base_currency = "GBP"
item = "7"
tax.20 = "9"
""",
    "netsuite": """
consumer_key = "k"
consumer_secret = "s"
token_id = "t"
token_secret = "s"
[shop.{0}.account.books.settings]
account = "1234567"
currencies.GBP = "1"
item = "7"
tax_type = "1"
tax.20 = "9"
""",
    "stripe": """
api_key = "k"
base_url = "http://127.0.0.1:8300/stripe"
[shop.{0}.account.books.settings]
tax_rates.20 = "txr_1"
""",
}


def shop(name: str, platform: str, settings: str = "", account: str = "") -> str:
    """A shop with an account on the platform; `settings` and `account`: lines put into it."""
    head = f'[shop.{name}]\napi_key = "0123456789abcdef-{name}"\n[shop.{name}.account.books]\nplatform = "{platform}"\n'
    return f"{head}{account}{ACCOUNTS[platform].format(name)}{settings}\n"


def read(tmp_path, *shops: str):
    file = tmp_path / "billhook.toml"
    file.write_text("".join(shops))
    return load(file, {})


OURS = 'organization_id = "1"\n'
DISAGREEING = [
    (shop("a", "zoho_books", OURS + 'plan = "premium"'), shop("b", "zoho_books", OURS + 'plan = "free"'),
     "settings.plan", 'is "free", but "premium"'),
    (shop("a", "netsuite", 'terms = "1"'), shop("b", "netsuite", "concurrency = 15"),
     "settings.concurrency", "is 15, but 3"),
    (shop("a", "stripe"), shop("b", "stripe", account="limits = false"), "limits", "is false, but true"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "name", "said"), DISAGREEING)
def test_accounts_of_one_organisation_agree_on_what_is_counted_for_both(tmp_path, first, second, name, said):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, first, second)

    ((place, what),) = caught.value.problems
    assert place == f"shop.b.account.books.{name}"
    assert what.startswith(f"{said} for a/books, which reaches the same organisation on ")
    assert what.endswith("so set it to the same for b/books and a/books")


def test_they_may_differ_in_everything_else_and_other_organisations_in_this_too(tmp_path):
    first, same, other = read(
        tmp_path,
        shop("a", "zoho_books", OURS + 'plan = "free"'),
        shop("b", "zoho_books", OURS + 'plan = "free"\ntax.5 = "8"'),
        shop("c", "zoho_books", 'organization_id = "2"\nplan = "ultimate"'),
    ).accounts()

    assert first.tenant == same.tenant != other.tenant
