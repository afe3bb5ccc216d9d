"""Keys that are not here yet are learned while a delivery waits: once for all of them, and at most once a minute."""

import asyncio

import pytest

from connectors.errors import Unavailable
from connectors.sources.base import KeyUnknown, SignatureError, Source
from worker.ingest.admission import Sender
from worker.ingest.answers import Refusal
from worker.ingest.learning import EVERY, KeyLearner


class Keyed(Source):
    """The body is the name of a key; it is right if that key is known."""

    def __init__(self, published: set[bytes], down: bool = False):
        super().__init__(["x"])
        self.published, self.down, self.known, self.questions = published, down, set[bytes](), 0

    def learn_keys(self, http):
        self.questions += 1
        if self.down:
            raise Unavailable("the list of keys does not answer")
        self.known = set(self.published)

    def verify(self, headers, body, now):
        if body == b"forged":
            raise SignatureError("it was not made with that key")
        if body not in self.known:
            raise KeyUnknown(f"key {body.decode()} is not known")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def sender(source: Source, name: str = "parcels") -> Sender:
    return Sender("engraver", name, "keyed", source)


def status(learner: KeyLearner, source: Source, body: bytes, name: str = "parcels") -> int:
    return asyncio.run(tried(learner, source, body, name))


async def tried(learner: KeyLearner, source: Source, body: bytes, name: str = "parcels") -> int:
    try:
        await learner.verify(sender(source, name), {}, body)
    except Refusal as refusal:
        return refusal.answer.status
    return 200


def test_an_unknown_key_is_learned_and_the_delivery_accepted(clock):
    source = Keyed({b"k1"})
    assert status(KeyLearner(clock), source, b"k1") == 200
    assert source.questions == 1


def test_a_known_key_asks_nobody(clock):
    source, learner = Keyed({b"k1"}), KeyLearner(clock)
    source.known = {b"k1"}
    assert status(learner, source, b"k1") == 200
    assert status(learner, source, b"forged") == 401
    assert source.questions == 0


def test_invented_keys_ask_once_a_minute_and_a_new_key_is_learned_after_it(clock):
    source, learner = Keyed({b"k1"}), KeyLearner(clock)
    assert [status(learner, source, b"invented") for _ in range(5)] == [401] * 5
    assert source.questions == 1
    source.published = {b"k1", b"k2"}
    clock.now += EVERY - 1
    assert status(learner, source, b"k2") == 401
    clock.now += 1
    assert status(learner, source, b"k2") == 200
    assert source.questions == 2


def test_each_source_has_its_own_minute(clock):
    one, other, learner = Keyed({b"k1"}), Keyed({b"k1"}), KeyLearner(clock)
    assert status(learner, one, b"k1") == status(learner, other, b"k1", "other") == 200
    assert (one.questions, other.questions) == (1, 1)


def test_many_at_once_wait_for_one_question(clock):
    source, learner = Keyed({b"k1"}), KeyLearner(clock)

    async def all_at_once():
        return await asyncio.gather(*(tried(learner, source, b"k1") for _ in range(20)))

    assert asyncio.run(all_at_once()) == [200] * 20
    assert source.questions == 1


def test_who_hangs_up_while_the_keys_come_does_not_take_them_from_the_others(clock):
    source, learner = Keyed({b"k1"}), KeyLearner(clock)

    async def one_hangs_up():
        gone = asyncio.create_task(tried(learner, source, b"k1"))
        stays = asyncio.create_task(tried(learner, source, b"k1"))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(one_hangs_up()) == 200
    assert source.questions == 1


def test_keys_that_cannot_be_fetched_mean_try_again_not_a_wrong_signature(clock):
    source, learner = Keyed({b"k1"}, down=True), KeyLearner(clock)
    assert [status(learner, source, b"k1") for _ in range(3)] == [503] * 3
    assert source.questions == 1
    source.down = False
    clock.now += EVERY
    assert status(learner, source, b"k1") == 200
