from __future__ import annotations

import random

from approve_client._backoff import Backoff


def test_every_delay_is_within_bounds() -> None:
    chance = random.Random(7)
    for _ in range(500):
        shortest, longest = chance.uniform(0, 10), chance.uniform(0, 100)
        backoff = Backoff(shortest, longest)
        for _ in range(chance.randrange(1, 80)):
            hint = chance.choice([None, chance.uniform(0, 1000)])
            delay = backoff.next(chance.random(), hint)
            assert min(shortest, longest) <= delay <= longest


def test_the_bound_grows_and_a_reset_takes_it_back() -> None:
    backoff = Backoff(0.1, 2.0)
    assert [round(backoff.next(1.0), 3) for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    backoff.reset()
    assert backoff.next(1.0) == 0.2
    assert backoff.next(0.0) == 0.1


def test_the_servers_wish_is_honoured() -> None:
    assert Backoff(0.1, 30.0).next(0.5, 7.0) == 7.0
    assert Backoff(0.1, 5.0).next(0.5, 7.0) == 5.0
