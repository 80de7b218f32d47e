"""Orders of stock before its demand is known: the multi-period newsvendor of Balaji et al. 2019 (arXiv 1911.10641)."""

from typing import Literal

import numpy as np
from pydantic import Field

from banditloop.rl_core.environments.episodic import MAX_STEPS, Episodes, EpisodicEnvironment, Steps
from banditloop.rl_core.events.contexts import Contexts
from banditloop.rl_core.settings.task import Task

STOCK = ("on_hand", "arriving_1", "arriving_2", "arriving_3", "arriving_4")
ECONOMICS = ("price", "cost", "holding_cost", "lost_sale_penalty", "mean_demand")
MULTIPLES = np.array([0.0, 0.4, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.5, 2.0])  # of the mean demand
MAX_PRICE, MAX_HOLDING_COST, MAX_PENALTY, MAX_DEMAND = 100.0, 5.0, 10.0, 200.0
CAPACITY = 4_000.0  # units held and ordered
REWARD_RANGE = [-70_000.0, 40_000.0]  # of a step, as long as the demand is at most 400, twice its largest mean


class Newsvendor(EpisodicEnvironment):
    """One good is ordered at every step, is on hand five steps later, and is sold as long as there is demand.

    Every episode draws the price (0 to 100), the cost of a unit (0 to the price), that of holding one for a step (0 to
    5, and at most the cost), the penalty of a lost sale (0 to 10), and the mean of the Poisson demand (0 to 200). A
    step earns price × sold - cost × ordered - holding cost × left over - penalty × lost sales. There is no stock at
    first; what is left over stays on hand.

    Action a orders MULTIPLES[a] times the mean demand. They are finer near 1, where the best orders lie: rounding those
    of a good policy to them costs 20 of the 70,000 that an episode earns; rounding to tenths of the mean costs 80.
    """

    name: Literal["newsvendor"] = "newsvendor"
    max_steps: int = Field(40, ge=1, le=MAX_STEPS, description="steps after which an episode is cut off")
    step_observed: bool = Field(False, description="whether the context tells the number of the step, as `period`")

    @property
    def task(self) -> Task:
        features = STOCK + ECONOMICS + (("period",) if self.step_observed else ())
        return Task.parse(
            {"actions": len(MULTIPLES), "reward_range": REWARD_RANGE, "context": dict.fromkeys(features, "number")},
            "task",
        )

    def reset(self, seeds: np.ndarray) -> Episodes:
        return NewsvendorEpisodes(seeds, self.max_steps, self.step_observed)

    def reward_scale(self, contexts: Contexts) -> np.ndarray:
        """The revenue of a step that sells the mean demand, plus 5."""
        return np.asarray(contexts["price"]) * np.asarray(contexts["mean_demand"]) + 5.0


class NewsvendorEpisodes(Episodes):
    """Episodes whose prices, costs and demands are drawn at the start."""

    def __init__(self, seeds: np.ndarray, max_steps: int, step_observed: bool) -> None:
        self._max_steps, self._step_observed, self._step = max_steps, step_observed, 0
        draws = [_drawn(seed, max_steps) for seed in seeds.tolist()]
        self._economics = np.array([economics for economics, _ in draws]).reshape(-1, len(ECONOMICS))
        self._demands = np.array([demands for _, demands in draws]).reshape(-1, max_steps).T
        self._stock = np.zeros((len(STOCK), len(seeds)))

    @property
    def contexts(self) -> Contexts:
        columns = dict(zip(STOCK + ECONOMICS, [*self._stock, *self._economics.T], strict=True))
        return columns | ({"period": np.full(len(self._economics), float(self._step))} if self._step_observed else {})

    def step(self, actions: np.ndarray) -> Steps:
        if self._step >= self._max_steps:
            nothing = np.zeros(len(actions), bool)
            return Steps(np.zeros(len(actions)), nothing, nothing)
        price, cost, holding_cost, penalty, mean_demand = self._economics.T
        order = np.minimum(MULTIPLES[actions] * mean_demand, CAPACITY - self._stock.sum(axis=0))
        on_hand, demand = self._stock[0], self._demands[self._step]
        sold = np.minimum(on_hand, demand)
        rewards = price * sold - cost * order - holding_cost * (on_hand - sold) - penalty * (demand - sold)
        self._stock = np.stack([on_hand - sold + self._stock[1], *self._stock[2:], order])
        self._step += 1
        truncated = np.full(len(actions), self._step == self._max_steps)
        return Steps(rewards, np.zeros(len(actions), bool), truncated)


def _drawn(seed: int, max_steps: int) -> tuple[list[float], np.ndarray]:
    """The economics of an episode, and its demands [max_steps]."""
    random = np.random.default_rng(seed)
    price = MAX_PRICE * random.random()
    cost = price * random.random()
    holding_cost = min(cost, MAX_HOLDING_COST) * random.random()
    penalty, mean_demand = MAX_PENALTY * random.random(), MAX_DEMAND * random.random()
    return [price, cost, holding_cost, penalty, mean_demand], random.poisson(mean_demand, max_steps)
