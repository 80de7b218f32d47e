"""How numbers of ReAgent's twelve golden distributions are encoded: by rules that do not depend on the number of rows.

ReAgent's classes of 10,000 draws stand beside ours. Ours are three: a feature that `init` does not propose, a boolean,
and a number, standardised or encoded by its quantiles. rl_core/features/fit.py says why they differ.
"""

import numpy as np
import pyarrow as pa
import pytest

from banditloop.pipelines.cli.column_kinds import feature_kind
from banditloop.rl_core.environments.cartpole import FEATURES, CartPole
from banditloop.rl_core.features.fit import fitted, unfitted
from banditloop.rl_core.rollouts import rollouts

STANDARDISED, QUANTILES, SEEDS = "standardised", "quantiles", 10
DISTRIBUTIONS = {  # draws, ReAgent's class, the proposed kind, and how a number is encoded
    "normal": (lambda random, n: random.normal(5, 3, n), "CONTINUOUS", "number", STANDARDISED),
    "narrow normal": (lambda random, n: random.normal(0, 0.1, n), "CONTINUOUS", "number", STANDARDISED),
    "lognormal": (lambda random, n: random.lognormal(0, 1, n), "BOXCOX", "number", QUANTILES),
    "gamma": (lambda random, n: random.gamma(2, size=n), "BOXCOX", "number", STANDARDISED),
    "from 0 to 1": (lambda random, n: random.random(n), "PROBABILITY", "number", STANDARDISED),
    "from 0 to 5": (lambda random, n: 5 * random.random(n), "QUANTILE", "number", STANDARDISED),
    "integers": (lambda random, n: random.integers(1, 7, n), "ENUM", "number", STANDARDISED),
    "0 and 1": (lambda random, n: random.integers(0, 2, n), "BINARY", "boolean", STANDARDISED),
    "two normals": (lambda random, n: random.normal(random.choice([-8, 8], n)), "QUANTILE", "number", STANDARDISED),
    "constant": (lambda random, n: np.full(n, 3.0), "BINARY", None, STANDARDISED),
    "-1, 0 and 1": (lambda random, n: random.integers(-1, 2, n), "QUANTILE", "number", STANDARDISED),
    "Cauchy": (lambda random, n: random.standard_cauchy(n), "QUANTILE", "number", QUANTILES),
}


def encoding_of(numbers):
    return fitted(unfitted("x", "number"), pa.array(np.asarray(numbers, float)))


@pytest.mark.parametrize("rows", [1_000, 10_000])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_kind_of_a_distribution_does_not_depend_on_the_number_of_rows(name, rows):
    draw, _, kind, how = DISTRIBUTIONS[name]
    for seed in range(SEEDS):
        numbers = draw(np.random.default_rng(seed), rows)
        assert feature_kind("x", pa.chunked_array([numbers]))[0] == kind
        assert (QUANTILES if encoding_of(numbers).knots else STANDARDISED) == how


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_distribution_has_about_unit_variance_when_encoded(name):
    numbers = DISTRIBUTIONS[name][0](np.random.default_rng(0), 10_000)
    encoded = encoding_of(numbers).columns(pa.array(np.asarray(numbers, float)))[:, 0]
    assert encoded.mean() == pytest.approx(0, abs=0.1)
    assert encoded.std() == pytest.approx(0 if name == "constant" else 1, abs=0.05)


def test_cartpoles_velocities_and_angles_are_standardised_whatever_the_number_of_rows():
    """ReAgent's velocity is of another class in 1,000 rows than in 29,000."""
    contexts = rollouts(None, CartPole(), 0, 1_300)["context"].combine_chunks()
    assert len(contexts) > 25_000
    for rows in (1_000, len(contexts)):
        assert not any(encoding_of(contexts.field(name)[:rows].to_numpy()).knots for name in FEATURES[1:])
