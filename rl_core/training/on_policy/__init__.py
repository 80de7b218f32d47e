"""On-policy training in simulation: an agent learns from what its own policy earns in the config's environment."""

from banditloop.rl_core.training.on_policy.curve import Curve, Loop
from banditloop.rl_core.training.on_policy.learner import Learner, make_learner, make_simulation
from banditloop.rl_core.training.on_policy.simulate import seeded, simulate, train_on_policy

__all__ = ["Curve", "Learner", "Loop", "make_learner", "make_simulation", "seeded", "simulate", "train_on_policy"]
