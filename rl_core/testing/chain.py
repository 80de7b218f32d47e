"""A planted sequential problem: five states in a row, where the immediate reward misleads.

In each state the agent may take a reward of TAKEN, which ends the episode, or go on to the next state for nothing;
going on from the last state pays 1 and ends the episode. Of n states left, going on is worth γⁿ⁻¹.
"""

import numpy as np

from banditloop.rl_core.agents import Transitions

STATES, TAKE, GO, TAKEN = 5, 0, 1, 0.3
OBSERVATIONS = np.eye(STATES, dtype=np.float32)


def chain(seed: int, episodes: int, discount: float, cut_off: float = 0.0) -> Transitions:
    """Episodes of a policy that goes on with probability 0.8.

    cut_off: the share of the episodes in the last state but one that are cut off after going on from there.
    """
    random, rows = np.random.default_rng(seed), []
    for episode in range(episodes):
        for state in range(STATES):
            action = int(random.random() < 0.8)
            is_last = state == STATES - 1
            is_end, is_cut = action == TAKE or is_last, state == STATES - 2 and random.random() < cut_off
            reward = TAKEN if action == TAKE else float(is_last)
            rows.append((state, action, reward, is_end, is_end or not is_cut, episode, 0.8 if action else 0.2))
            if is_end or is_cut:
                break
    states, actions, rewards, ends, known, numbers, propensities = map(np.array, zip(*rows, strict=True))
    following = OBSERVATIONS[np.minimum(states + 1, STATES - 1)]
    discounts = np.where(ends | ~known, 0.0, discount)
    return Transitions(
        OBSERVATIONS[states], actions, rewards, following, discounts, known, numbers, states, propensities
    )


def best_chain_actions(discount: float) -> np.ndarray:
    """The best action in each state [STATES]."""
    going_on = discount ** np.arange(STATES - 1, -1, -1)
    return np.where(going_on > TAKEN, GO, TAKE)
