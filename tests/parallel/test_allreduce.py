"""All-reduce: the closed form equals messages that are sent one by one, and the buffers end as they should."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.errors import OperandError, UnknownNameError
from bitsim.hw.link import link_names, load_link
from bitsim.parallel.allreduce import ALGORITHMS, Traffic, allreduce, fastest
from bitsim.parallel.exchange import Network, exchange

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
LINK = load_link("nvlink")


def run(buffers, combine, algorithm, element_bytes=4, link=LINK):
    network = Network(link, len(buffers))
    return exchange(network, buffers, combine, algorithm, element_bytes), network.traffic


@every_algorithm
@given(devices=st.integers(1, 17), elements=st.integers(0, 40), element_bytes=st.sampled_from([1, 2, 4, 40]))
def test_closed_form_equals_messages_sent_one_by_one(algorithm, devices, elements, element_bytes):
    buffers = [np.full(elements, d) for d in range(devices)]
    _, walked = run(buffers, np.add, algorithm, element_bytes)
    closed = allreduce(LINK, devices, elements, element_bytes, algorithm)
    assert (closed.messages, closed.bytes) == (walked.messages, walked.bytes)
    assert closed.time_s == pytest.approx(walked.time_s, rel=1e-12)


@every_algorithm
@given(st.data())
def test_every_device_ends_with_the_sum_and_the_maximum(algorithm, data):
    devices, shape = data.draw(st.integers(1, 9)), data.draw(st.tuples(st.integers(1, 3), st.integers(1, 5)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    buffers = [rng.integers(-1000, 1000, shape) for _ in range(devices)]
    for combine, reduced in ((np.add, np.sum), (np.maximum, np.max)):
        ended, _ = run(buffers, combine, algorithm)
        assert len(ended) == devices
        for values in ended:
            np.testing.assert_array_equal(values, reduced(np.stack(buffers), axis=0))


@given(st.integers(2, 9), st.integers(1, 30), st.integers(0, 99))
def test_orders_of_float_addition_are_the_documented_ones(devices, elements, seed):
    x = np.random.default_rng(seed).normal(0, 1, (devices, elements)).astype(np.float32)

    def added(order, column):
        total = x[order[0], column]
        for d in order[1:]:
            total = np.float32(total + x[d, column])
        return total

    def halves(values):
        """Neighbours in pairs, then pairs of pairs."""
        if len(values) == 1:
            return values[0]
        rest = [np.float32(a + b) for a, b in zip(values[::2], values[1::2], strict=False)]
        return halves(rest + ([values[-1]] if len(values) % 2 else []))

    size, longer = divmod(elements, devices)
    owner = [c for c in range(devices) for _ in range(size + (c < longer))]
    ring = [added([(owner[e] + i) % devices for i in range(devices)], e) for e in range(elements)]
    chain = [added(list(range(devices)), e) for e in range(elements)]
    tree = [halves(list(x[:, e])) for e in range(elements)]
    for algorithm, expected in (("ring", ring), ("chain", chain), ("tree", tree)):
        ended, _ = run(list(x), np.add, algorithm)
        for values in ended:
            np.testing.assert_array_equal(values, np.float32(expected))


def test_costs_by_hand():
    """8 devices, 1000 FP16 values: a ring has 14 steps of chunks of 125, a tree 6 steps of all."""
    at, start = 300e9 * 0.25, 3.6e-6
    ring, tree = (allreduce(LINK, 8, 1000, 2, name) for name in ("ring", "tree"))
    assert (ring.messages, ring.bytes) == (14 * 8, 14 * 2000)
    assert (tree.messages, tree.bytes) == (14, 14 * 2000)
    assert ring.time_s == pytest.approx(start + 14 * (400e-9 + 250 / at))
    assert tree.time_s == pytest.approx(start + 6 * (400e-9 + 2000 / at))
    assert LINK.energy_j(ring.bytes) == pytest.approx(28000 * 8 * 5.5e-12)


def test_a_ring_wins_with_long_vectors_and_a_tree_with_short_ones():
    assert fastest(LINK, 16, 1, 4)[0] == "tree"
    assert fastest(LINK, 16, 10**7, 4)[0] == "ring"
    for elements in (1, 100, 10**4, 10**6):
        cost = fastest(LINK, 16, elements, 4)[1].time_s
        assert cost == min(allreduce(LINK, 16, elements, 4, name).time_s for name in ("ring", "tree"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_more_devices_or_elements_never_cost_less(algorithm):
    for more in ([allreduce(LINK, d, 100, 2, algorithm) for d in range(1, 65)],
                 [allreduce(LINK, 8, e, 2, algorithm) for e in range(200)]):  # fmt: skip
        for a, b in pairwise(more):
            assert a.bytes <= b.bytes
            assert a.messages <= b.messages
    assert allreduce(LINK, 1, 100, 2, algorithm) == allreduce(LINK, 8, 0, 2, algorithm) == Traffic()


def test_bytes_are_the_least_that_two_passes_need():
    """Every device but one gives its vector and gets one: 2 (D - 1) vectors, whatever the algorithm."""
    for devices in range(2, 65):
        sizes = {allreduce(LINK, devices, 77, 2, name).bytes for name in ALGORITHMS}
        assert sizes == {Fraction(2 * (devices - 1) * 77 * 2)}


def test_errors():
    with pytest.raises(UnknownNameError, match="unknown all-reduce 'rings'; did you mean ring"):
        allreduce(LINK, 2, 1, 1, "rings")
    with pytest.raises(OperandError, match=r"devices >= 1.* got 0, 1, 1"):
        allreduce(LINK, 0, 1, 1, "ring")
    with pytest.raises(OperandError, match="expected 2 arrays of one shape"):
        exchange(Network(LINK, 2), [np.zeros(2), np.zeros(3)], np.add, "ring", 4)
    with pytest.raises(UnknownNameError, match="unknown link 'nvlnk'; did you mean nvlink"):
        load_link("nvlnk")


@pytest.mark.parametrize("name", link_names())
def test_links_state_a_source_for_every_constant(name):
    link = load_link(name)
    assert link.name == name
    assert all(constant.source for constant in link.constants().values())
    assert link.energy.low < link.energy.high


def test_an_efficiency_above_1_is_refused(tmp_path):
    from importlib.resources import files

    text = files("hw_models").joinpath("links", "nvlink.yaml").read_text().replace("value: 0.25", "value: 1.25")
    path = tmp_path / "fast.yaml"
    path.write_text(text)
    with pytest.raises(Exception, match=r"fast.yaml:\d+: efficiency.value: must be <= 1 \(got 1.25\)"):
        load_link(path)
