"""Components of pairs are SciPy's."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nucleiflow.runs import components


@pytest.mark.parametrize("seed", range(20))
def test_components_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 200))
    one, other = rng.integers(0, count, (2, int(rng.integers(0, 2 * count))))
    graph = coo_array((np.ones(one.size, bool), (one, other)), (count, count))
    _, wanted = connected_components(graph, directed=False)
    np.testing.assert_array_equal(components(one, other, count), wanted)


def test_components_of_a_long_chain_in_any_order():
    order = np.random.default_rng(1).permutation(10_000)
    one, other = order[:-1], order[1:]
    assert (components(one, other, 10_000) == 0).all()
    assert components(one[:0], other[:0], 3).tolist() == [0, 1, 2]
