"""Agents: learning algorithms that turn logged interactions into a policy."""

from banditloop.rl_core.agents.agent import (
    Agent,
    Batch,
    Model,
    append_zeros,
    best_actions,
    one_hot,
)
from banditloop.rl_core.agents.arrays import (
    ACTION_FEATURES,
    SAVED_MODEL,
    SAVED_MODEL_PARTS,
    STATISTICS,
    WEIGHTS,
    Statistics,
    check_shapes,
    read_arrays,
    write_arrays,
)
from banditloop.rl_core.agents.bag import Bag
from banditloop.rl_core.agents.behaviour_cloning import BehaviourCloning
from banditloop.rl_core.agents.best_fixed import BestFixed
from banditloop.rl_core.agents.cover import Cover
from banditloop.rl_core.agents.dqn import DQN
from banditloop.rl_core.agents.epsilon_greedy import EpsilonGreedy
from banditloop.rl_core.agents.fitted_q import FittedQ
from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.linucb import LinUCB
from banditloop.rl_core.agents.mergeable import MergeableAgent, mergeable
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.agents.neural_linear import NeuralLinear
from banditloop.rl_core.agents.online_agent import Learned, OnlineAgent
from banditloop.rl_core.agents.ppo import PPO
from banditloop.rl_core.agents.sequential_agent import SequentialAgent
from banditloop.rl_core.agents.softmax import Softmax
from banditloop.rl_core.agents.squarecb import SquareCB
from banditloop.rl_core.agents.tf_agents import TFAgents
from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.agents.uniform import Uniform

AGENTS: dict[str, type[Agent]] = {
    "linear_thompson": LinearThompson,
    "linucb": LinUCB,
    "neural_epsilon_greedy": NeuralEpsilonGreedy,
    "neural_linear": NeuralLinear,
    "epsilon_greedy": EpsilonGreedy,
    "softmax": Softmax,
    "squarecb": SquareCB,
    "bag": Bag,
    "cover": Cover,
    "uniform": Uniform,
    "best_fixed": BestFixed,
    "tf_agents": TFAgents,
    "dqn": DQN,
    "fitted_q": FittedQ,
    "behaviour_cloning": BehaviourCloning,
    "ppo": PPO,
}

__all__ = [
    "ACTION_FEATURES",
    "AGENTS",
    "DQN",
    "PPO",
    "SAVED_MODEL",
    "SAVED_MODEL_PARTS",
    "STATISTICS",
    "WEIGHTS",
    "Agent",
    "Bag",
    "Batch",
    "BehaviourCloning",
    "BestFixed",
    "Cover",
    "EpsilonGreedy",
    "FittedQ",
    "Learned",
    "LinUCB",
    "LinearThompson",
    "MergeableAgent",
    "Model",
    "NeuralEpsilonGreedy",
    "NeuralLinear",
    "OnlineAgent",
    "SequentialAgent",
    "Softmax",
    "SquareCB",
    "Statistics",
    "TFAgents",
    "Transitions",
    "Uniform",
    "append_zeros",
    "best_actions",
    "check_shapes",
    "mergeable",
    "one_hot",
    "read_arrays",
    "write_arrays",
]
