"""ReAgent's 5 × 5 world, with the exact values of its policies and logs of episodes in it."""

import numpy as np

from banditloop.rl_core.agents.transitions import Transitions

SIZE, ACTIONS, DISCOUNT = 5, 4, 0.9
STATES, GOAL, WALLS = SIZE * SIZE, SIZE * SIZE - 1, (1 * SIZE + 3, 3 * SIZE + 1)
MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))
UNIFORM = np.full((STATES, ACTIONS), 1 / ACTIONS)


def _next_state(state: int, move: tuple[int, int]) -> int:
    row, column = state // SIZE + move[0], state % SIZE + move[1]
    target = row * SIZE + column
    return target if 0 <= row < SIZE and 0 <= column < SIZE and target not in WALLS else state


NEXT = np.array([[_next_state(state, move) for move in MOVES] for state in range(STATES)])
REWARDS = ((NEXT == GOAL) & (np.arange(STATES) != GOAL)[:, None]).astype(float)


def action_values(policy: np.ndarray) -> np.ndarray:
    """Q [states, actions] of a policy [states, actions], by dynamic programming."""
    values = np.zeros((STATES, ACTIONS))
    for _ in range(400):
        values = REWARDS + DISCOUNT * (NEXT != GOAL) * (policy * values).sum(axis=1)[NEXT]
    return values


def epsilon_greedy(epsilon: float) -> np.ndarray:
    """The optimal policy, ties shared, that explores uniformly with probability epsilon."""
    values = np.zeros((STATES, ACTIONS))
    for _ in range(400):
        values = REWARDS + DISCOUNT * (NEXT != GOAL) * values.max(axis=1)[NEXT]
    best = np.isclose(values, values.max(axis=1, keepdims=True))
    return (1 - epsilon) * best / best.sum(axis=1, keepdims=True) + epsilon / ACTIONS


def value(policy: np.ndarray) -> float:
    """The discounted return of an episode, exactly."""
    return float((policy * action_values(policy)).sum(axis=1)[0])


def episodes(policy: np.ndarray, count: int, random: np.random.Generator, max_steps: int = 200) -> Transitions:
    """A log of a policy; observations are one-hot. Episodes that do not end within `max_steps` are cut off there."""
    state, numbers, steps = np.zeros(count, int), np.arange(count), []
    for step in range(max_steps):
        action = (policy[state].cumsum(axis=1) > random.random((len(state), 1))).argmax(axis=1)
        steps.append(np.column_stack([numbers, np.full(len(state), step), state, action]))
        running = NEXT[state, action] != GOAL
        state, numbers = NEXT[state, action][running], numbers[running]
    rows = np.concatenate(steps)
    number, step, state, action = rows[np.lexsort((rows[:, 1], rows[:, 0]))].T
    following = NEXT[state, action]
    return Transitions(
        observations=np.eye(STATES)[state],
        actions=action,
        rewards=REWARDS[state, action],
        next_observations=np.eye(STATES)[following],
        discounts=np.where(following == GOAL, 0.0, DISCOUNT),
        is_known=(following == GOAL) | (step < max_steps - 1),
        episodes=number,
        steps=step,
        propensities=policy[state, action],
    )
