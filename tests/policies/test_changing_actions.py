"""Policies whose actions come and go: nothing excluded is chosen, new ones are tried, propensities stay exact."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.saved_policy import MAX_NEW_EXPLORATION, SavedPolicy
from banditloop.rl_core.policies.uniform import UniformModel
from banditloop.rl_core.settings.task import Task
from tests.conftest import make_policy

KNOWN = ("a", "b", "c", "d")
LEAST, FLOOR, DRAWS = 0.1, 0.1, 40_000


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A policy of four named actions, of which the last joined later and was not tried enough yet."""
    folder = tmp_path_factory.mktemp("policy")
    make_policy(folder, dim=4, actions=4)
    loaded = SavedPolicy.load(folder)
    task = Task.parse({"actions": list(KNOWN), "context": {"observation": {"vector": 4}}})
    encoding = Encoding.unfitted(task).model_copy(update={"new_actions": ["d"]})
    manifest = loaded.manifest.model_copy(update={"new_action_exploration": LEAST})
    return replace(loaded, manifest=manifest, encoding=encoding)


def observations(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


subsets = st.lists(st.sampled_from([*KNOWN, "new 1", "new 2", "z"]), min_size=1, max_size=7, unique=True)


@given(lists=st.lists(subsets, min_size=1, max_size=30), seed=st.integers(0, 100))
def test_nothing_but_the_candidates_is_ever_chosen(policy, lists, seed):
    candidates = Candidates.of_lists(lists)
    uniforms = np.random.default_rng(seed).random(len(lists))
    for extreme in (uniforms, np.zeros(len(lists)), np.full(len(lists), np.nextafter(1, 0))):
        decisions = policy.decide(observations(len(lists), seed), extreme, candidates)
        for row, listed in enumerate(lists):
            assert candidates.ids[decisions.actions[row]] in listed
    mask = candidates.mask(len(lists))
    probabilities = decisions.probabilities
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities[~mask] == 0).all()
    floors = np.broadcast_to((FLOOR / mask.sum(axis=1))[:, None], mask.shape)
    assert (probabilities[mask] >= floors[mask] * (1 - 1e-9)).all()
    greedy = policy.greedy_probabilities(observations(len(lists), seed), candidates)
    assert (greedy[~mask] == 0).all()


def test_propensities_equal_the_frequencies_of_changing_candidates(policy):
    candidates = Candidates.of_lists([["a", "c", "new"], ["b", "d"]] * (DRAWS // 2))
    decisions = policy.decide(
        np.repeat(observations(1), DRAWS, axis=0), np.random.default_rng(0).random(DRAWS), candidates
    )
    for start in (0, 1):
        expected = decisions.probabilities[start]
        frequencies = np.bincount(decisions.actions[start::2], minlength=5) / (DRAWS / 2)
        assert (np.abs(frequencies - expected) <= 4 * np.sqrt(expected * (1 - expected) / (DRAWS / 2))).all()
    np.testing.assert_array_equal(decisions.propensities, decisions.probabilities[np.arange(DRAWS), decisions.actions])


@pytest.mark.parametrize(
    ("listed", "least"),
    [
        (["a", "b", "d"], {"d": LEAST}),
        (["a", "b", "new"], {"new": LEAST}),
        (["a", "d", "new"], {"d": LEAST, "new": LEAST}),
        (["a", *(f"new {number}" for number in range(50))], {"new 7": MAX_NEW_EXPLORATION / 50}),
    ],
)
def test_new_actions_have_a_least_exploration_of_their_own(policy, listed, least):
    candidates = Candidates.of_lists([listed])
    probabilities = dict(zip(candidates.ids, policy.probabilities(observations(1), candidates)[0], strict=True))
    for action, share in least.items():
        floor = FLOOR / len(listed)
        assert probabilities[action] >= (1 - FLOOR) * share + floor - 1e-9, action


def test_only_unknown_actions_are_chosen_uniformly(policy):
    candidates = Candidates.of_lists([["x", "y"], ["x", "y"]])
    np.testing.assert_allclose(policy.probabilities(observations(2), candidates), 0.5)


def test_candidates_in_another_order_have_the_same_probabilities(policy):
    first, second = Candidates(KNOWN), Candidates(KNOWN[::-1])
    np.testing.assert_allclose(
        policy.probabilities(observations(50), first), policy.probabilities(observations(50), second)[:, ::-1]
    )
    settled = replace(policy, encoding=policy.encoding.model_copy(update={"new_actions": []}))
    np.testing.assert_array_equal(
        settled.probabilities(observations(50)), settled.probabilities(observations(50), first)
    )


def test_a_policy_without_actions_yet_has_no_probabilities(policy):
    encoding = Encoding.unfitted(Task.parse({"actions": "open", "context": {"observation": {"vector": 4}}}))
    manifest = policy.manifest.model_copy(update={"actions": 0, "exploration": 1.0})
    empty = replace(policy, manifest=manifest, model=UniformModel(4, 0), encoding=encoding)
    for candidates in (None, Candidates(())):
        assert empty.probabilities(observations(3), candidates).shape == (3, 0)
        assert empty.greedy_probabilities(observations(3), candidates).shape == (3, 0)
        with pytest.raises(InvalidInput, match="list one at least"):
            empty.decide(observations(3), np.zeros(3), candidates)
    np.testing.assert_allclose(empty.probabilities(observations(3), Candidates(("a", "b"))), 0.5)
