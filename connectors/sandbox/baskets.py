"""What the sample shops sell and to whom: an engraver's customers, products and baskets."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    """The amount rounded half up to cents; all currencies of the samples have two decimals."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Buyer:
    """A customer. `number` is the shop's own id of the customer."""

    number: int
    first_name: str
    last_name: str
    company: str | None
    street: str
    city: str
    postcode: str
    country: str

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def email(self) -> str:
        plain = unicodedata.normalize("NFKD", f"{self.first_name}.{self.last_name}".replace("ß", "ss"))
        return plain.encode("ascii", "ignore").decode().lower().replace(" ", "") + "@example.com"


BUYERS = tuple(
    Buyer(700 + number, *fields)
    for number, fields in enumerate(
        (
            ("Ada", "Lovelace", "Analytical Engines Ltd", "12 St James's Square", "London", "SW1Y 4JH", "GB"),
            ("Charles", "Babbage", "Difference & Sons", "1 Dorset Street", "London", "W1U 4EG", "GB"),
            ("Mary", "Somerville", None, "5 Queen's Parade", "Edinburgh", "EH1 1AA", "GB"),
            ("George", "Boole", "Boole Truth Tables", "3 Pottergate", "Lincoln", "LN2 1DZ", "GB"),
            ("Caroline", "Herschel", None, "19 New King Street", "Bath", "BA1 2BL", "GB"),
            ("Michael", "Faraday", "Royal Coils Ltd", "21 Albemarle Street", "London", "W1S 4BS", "GB"),
            ("Mary", "Anning", "Anning Fossil Depot", "9 Bridge Street", "Lyme Regis", "DT7 3QA", "GB"),
            ("James", "Maxwell", None, "14 India Street", "Edinburgh", "EH3 6EZ", "GB"),
            ("Isambard", "Brunel", "Great Western Fittings", "18 Duke Street", "Bristol", "BS1 5AE", "GB"),
            ("Florence", "Nightingale", "Lamp & Linen", "10 South Street", "London", "W1K 1DE", "GB"),
            ("Robert", "Hooke", None, "2 Gresham Street", "London", "EC2V 7QN", "GB"),
            ("Dorothy", "Hodgkin", "Crystal Labels Ltd", "8 Parks Road", "Oxford", "OX1 3QR", "GB"),
            ("Alan", "Turing", "Bletchley Nameplates", "43 Adlington Road", "Wilmslow", "SK9 2BJ", "GB"),
            ("Rosalind", "Franklin", None, "22 Drayton Gardens", "London", "SW10 9RP", "GB"),
            ("Humphry", "Davy", "Davy Safety Lamps", "6 Market Jew Street", "Penzance", "TR18 2HN", "GB"),
            ("Joseph", "Priestley", None, "7 Fieldhead Lane", "Birstall", "WF17 9AT", "GB"),
            ("Emmy", "Noether", "Noether Symmetrie GmbH", "Hauptstraße 23", "Erlangen", "91054", "DE"),
            ("Carl", "Gauß", "Gauß Messtechnik", "Wilhelmsplatz 1", "Göttingen", "37073", "DE"),
            ("Sophie", "Germain", None, "13 rue de Savoie", "Paris", "75006", "FR"),
            ("Émilie", "du Châtelet", "Cirey Gravure", "2 rue du Château", "Cirey", "52110", "FR"),
            ("Christiaan", "Huygens", "Huygens Uurwerken", "Plein 9", "Den Haag", "2511 CR", "NL"),
            ("Grace", "Hopper", "Nanosecond Signs Inc", "27 Broadway", "New York", "10004", "US"),
            ("Benjamin", "Banneker", None, "300 Oella Avenue", "Baltimore", "21228", "US"),
            ("Maria", "Mitchell", "Comet Plaques LLC", "4 Vestal Street", "Nantucket", "02554", "US"),
        ),
        start=1,
    )
)


@dataclass(frozen=True, slots=True)
class Product:
    sku: str
    title: str
    price: Decimal
    rate: int
    """Tax in percent, where tax is charged at all."""


PRODUCTS = (
    Product("PLQ-BR", "Brass plaque, engraved", Decimal("45.00"), 20),
    Product("PLQ-SL", "Slate house sign", Decimal("62.50"), 20),
    Product("TAG-ST", "Steel tag", Decimal("5.50"), 20),
    Product("TAG-PT", "Pet tag, brass", Decimal("7.99"), 20),
    Product("TRO-CP", "Trophy cup, engraved", Decimal("89.95"), 20),
    Product("PEN-SI", "Silver pen, engraved", Decimal("33.33"), 20),
    Product("MOB-LT", "Grab rail plate, lettered", Decimal("18.40"), 5),
    Product("BRA-BD", "Braille door badge", Decimal("11.15"), 5),
    Product("BOO-LB", "Letter book, printed", Decimal("14.00"), 0),
    Product("BOO-CH", "Children's name book", Decimal("9.49"), 0),
)
SHIPPING = (
    ("Royal Mail 48", Decimal("3.95")),
    ("Royal Mail 24", Decimal("5.45")),
    ("Courier", Decimal("7.95")),
    ("Collection in person", Decimal("0.00")),
)


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a basket; `discount` is this line's share of the basket's discount."""

    product: Product
    quantity: int
    engraving: str
    discount: Decimal
    rate: Decimal

    @property
    def title(self) -> str:
        """With the engraving, which holds the order's number: no two orders have the same line."""
        return f"{self.product.title}: “{self.engraving}”"

    @property
    def gross(self) -> Decimal:
        return self.product.price * self.quantity

    @property
    def net(self) -> Decimal:
        return self.gross - self.discount


@dataclass(frozen=True, slots=True)
class Basket:
    """What one customer buys, before any shop has put it in its own form."""

    number: int
    buyer: Buyer
    currency: str
    items: tuple[Item, ...]
    carrier: str
    shipping: Decimal
    shipping_rate: Decimal

    @property
    def discount(self) -> Decimal:
        return sum((item.discount for item in self.items), Decimal(0))


def basket(number: int, ref: str, dice: random.Random) -> Basket:
    """A basket of one to four products for the order `ref`. The same dice give the same basket."""
    buyer = dice.choice(BUYERS)
    currency = {"GB": "GBP", "US": "USD"}.get(buyer.country, "EUR")
    if dice.random() < 0.5:
        currency = "GBP"
    chosen = dice.sample(PRODUCTS, dice.choice((1, 1, 2, 2, 3, 4)))
    quantities = [dice.choice((1, 1, 1, 2, 3, 7)) for _ in chosen]
    gross = [each.price * quantity for each, quantity in zip(chosen, quantities, strict=True)]
    percent = dice.choice((0, 0, 0, 5, 10, 15))
    shares = _spread(cents(sum(gross, Decimal(0)) * percent / 100), gross)
    taxed = buyer.country != "US"
    items = tuple(
        Item(each, quantity, f"{ref} / {part}", share, Decimal(each.rate if taxed else 0))
        for part, (each, quantity, share) in enumerate(zip(chosen, quantities, shares, strict=True), start=1)
    )
    carrier, shipping = dice.choice(SHIPPING)
    return Basket(number, buyer, currency, items, carrier, shipping, Decimal(20 if taxed else 0))


def _spread(discount: Decimal, over: list[Decimal]) -> list[Decimal]:
    """The discount in proportion, to the cent; the last line takes what rounding leaves."""
    total = sum(over, Decimal(0))
    shares = [(discount * each / total).quantize(CENT, rounding="ROUND_DOWN") for each in over[:-1]]
    return [*shares, discount - sum(shares, Decimal(0))]
