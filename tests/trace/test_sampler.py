"""The head decision."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer._core import Buffer, Recorder, SpanContext
from gossamer._trace import sampler as module
from gossamer._trace.propagation import Propagation
from gossamer._trace.sampler import RateLimiter, RateSampler, Sampler


def decide(sampler, parent=None, **facts):
    with Recorder(Buffer(), sampler).start("x", parent=parent, **facts) as span:
        trace = span.trace
    return trace.priority, trace.mechanism, trace.rate


def ids(count, seed=1):
    generator = random.Random(seed)
    return [generator.getrandbits(128) for _ in range(count)]


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_the_share_is_the_rate(rate):
    kept = sum(map(RateSampler(rate).keeps, ids(20000)))
    assert abs(kept / 20000 - rate) < 0.012


@given(st.integers(0, 2**128 - 1))
def test_all_and_none(trace_id):
    assert RateSampler(1.0).keeps(trace_id)
    assert not RateSampler(0.0).keeps(trace_id)


@given(st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1), st.floats(0, 1), st.floats(0, 1))
def test_services_agree(low, high, rate, other):
    # The lower half alone decides, and what a low rate keeps a higher rate keeps, too.
    sampler = RateSampler(rate)
    assert sampler.keeps(low) == sampler.keeps(high << 64 | low)
    if rate <= other and sampler.keeps(low):
        assert RateSampler(other).keeps(low)


@pytest.mark.parametrize(
    ("trace_id", "rate", "kept"),
    # The products with 1111111111111111111 modulo 2**64, as shares of 2**64: 0.060233, 0.602335, 0.806...
    [(1, 0.0603, True), (1, 0.0602, False), (10, 0.6024, True), (10, 0.6023, False)],
)
def test_the_hash_is_datadogs(trace_id, rate, kept):
    assert RateSampler(rate).keeps(trace_id) is kept


@pytest.mark.parametrize(
    ("given_rate", "rate"),
    [(-1, 0.0), (2, 1.0), (float("nan"), 1.0), (float("inf"), 1.0), ("x", 1.0), (None, 1.0), ("0.5", 0.5)],
)
def test_odd_rates(given_rate, rate):
    assert RateSampler(given_rate).rate == rate


def test_default_keeps():
    assert decide(Sampler()) == (1, 0, 1.0)


def test_the_users_rate():
    assert decide(Sampler(rate=1)) == (2, 3, 1.0)
    assert decide(Sampler(rate=0)) == (-1, 3, 0.0)
    assert decide(Sampler(rate=1, agent_rates={"service:,env:": 0})) == (2, 3, 1.0)


def test_the_agents_rates():
    sampler = Sampler(service="shop", env="prod")
    sampler.update_rates(
        {"service:shop,env:prod": 0, "service:shop,env:dev": 1, "service:,env:": 1, "service:a,b,env:prod": 0.0}
    )
    assert decide(sampler) == (0, 1, 0)
    assert decide(sampler, service="shop") == (0, 1, 0)
    assert decide(sampler, service="Shop") == (0, 1, 0)
    assert decide(sampler, service="a,b") == (0, 1, 0)
    assert decide(sampler, service="other") == (1, 1, 1)
    sampler.update_rates({"service:other,env:prod": 0.0})
    assert decide(sampler) == (1, 0, 1.0)
    assert decide(sampler, service="other") == (0, 1, 0.0)
    sampler.update_rates({})
    assert decide(sampler, service="other") == (1, 0, 1.0)


@pytest.mark.parametrize(
    "rates",
    [
        {"service:shop,env:prod": "x"},
        {"service:shop,env:prod": None},
        {"service:shop,env:prod": 2},
        {"service:shop,env:prod": float("nan")},
        {"service:shop": 0},
        {"shop,env:prod": 0},
        {5: 0},
        {"service:shop,env:prod": True},
        None,
        7,
        [1],
    ],
)
def test_malformed_rates_are_passed_over(rates):
    sampler = Sampler(service="shop", env="prod")
    sampler.update_rates(rates)
    assert decide(sampler) == (1, 0, 1.0)


def test_many_rates_are_bounded():
    sampler = Sampler(env="prod")
    sampler.update_rates({"service:s%d,env:prod" % n: 1 for n in range(module.MAX_AGENT_RATES + 5000)})
    assert len(sampler._by_service) == module.MAX_AGENT_RATES


@pytest.mark.parametrize("priority", [-1, 0, 1, 2])
def test_a_remote_decision_is_not_taken_again(priority):
    for sampler in (Sampler(rate=0), Sampler(rate=1), Sampler(agent_rates={"service:,env:": 0})):
        assert decide(sampler, SpanContext(1, 2, priority)) == (priority, None, None)


def test_a_remote_trace_without_a_decision_gets_one():
    assert decide(Sampler(rate=0), SpanContext(1, 2)) == (-1, 3, 0.0)


def test_the_rate_limit(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    sampler = Sampler(rate=1, rate_limit=10)
    assert [decide(sampler)[0] for _ in range(12)] == [2] * 10 + [-1] * 2
    now[0] += 0.35
    assert [decide(sampler)[0] for _ in range(4)] == [2] * 3 + [-1]
    now[0] += 1000
    assert [decide(sampler)[0] for _ in range(11)] == [2] * 10 + [-1]
    # Neither the default nor the Agent's rates are limited.
    free = Sampler(agent_rates={"service:,env:": 1}, rate_limit=0)
    assert {decide(free)[0] for _ in range(50)} == {1}
    assert {Sampler(rate=1, rate_limit=0).limiter.allows() for _ in range(3)} == {False}
    assert all(RateLimiter(-1).allows() for _ in range(1000))
    slow = RateLimiter(0.5)
    now[0] += 2
    assert [slow.allows(), slow.allows()] == [True, False]
    now[0] += 2.1
    assert slow.allows()


def test_the_rate_limit_holds_for_threads():
    limiter = RateLimiter(100)
    allowed = []

    def work():
        for _ in range(2000):
            if limiter.allows():
                allowed.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    start = module.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = module.monotonic() - start
    assert 100 <= len(allowed) <= 100 + 100 * seconds + 100  # nearly: threads that collide


def test_the_sampled_flag_follows():
    for sampler, flag in ((Sampler(rate=0), "02"), (Sampler(rate=1), "03"), (Sampler(), "03")):
        headers = {}
        with Recorder(Buffer(), sampler).start("x", parent=None) as span:
            Propagation().inject(span, headers)
        assert headers["traceparent"][-2:] == flag


def test_a_sampler_that_fails_keeps_the_trace():
    def broken(trace, span):
        raise RuntimeError("no")

    assert decide(broken)[0] == 1
