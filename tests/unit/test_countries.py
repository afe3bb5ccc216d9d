"""Countries however the other side writes them."""

import pytest

from connectors.countries import alpha_2, english


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("United Kingdom", "GB"),
        (" united kingdom ", "GB"),
        ("gb", "GB"),
        ("GBR", "GB"),
        ("UK", "GB"),
        ("USA", "US"),
        ("Atlantis", None),
        ("", None),
        (None, None),
    ],
)
def test_a_country_is_known_by_its_name_its_two_letters_and_its_three(text: str | None, code: str | None) -> None:
    assert alpha_2(text) == code


def test_every_name_that_is_written_is_read_back() -> None:
    assert all(alpha_2(english(code)) == code for code in ("GB", "US", "DE", "CI", "KP", "ZW"))
