"""Agents: learning algorithms that turn logged interactions into a policy."""

from collections.abc import Mapping

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
from banditloop.rl_core.agents.mergeable import MergeableAgent, mergeable
from banditloop.rl_core.agents.online_agent import Learned, OnlineAgent
from banditloop.rl_core.agents.sequential_agent import SequentialAgent
from banditloop.rl_core.agents.transitions import Transitions
from banditloop.rl_core.settings.registry import Registry

AGENTS: Mapping[str, type[Agent]] = Registry(
    __name__,
    {
        "linear_thompson": "linear_thompson:LinearThompson",
        "linucb": "linucb:LinUCB",
        "neural_epsilon_greedy": "neural_epsilon_greedy:NeuralEpsilonGreedy",
        "neural_linear": "neural_linear:NeuralLinear",
        "epsilon_greedy": "epsilon_greedy:EpsilonGreedy",
        "softmax": "softmax:Softmax",
        "squarecb": "squarecb:SquareCB",
        "bag": "bag:Bag",
        "cover": "cover:Cover",
        "uniform": "uniform:Uniform",
        "best_fixed": "best_fixed:BestFixed",
        "tf_agents": "tf_agents:TFAgents",
        "dqn": "dqn:DQN",
        "fitted_q": "fitted_q:FittedQ",
        "behaviour_cloning": "behaviour_cloning:BehaviourCloning",
        "ppo": "ppo:PPO",
    },
)

__all__ = [
    "ACTION_FEATURES",
    "AGENTS",
    "SAVED_MODEL",
    "SAVED_MODEL_PARTS",
    "STATISTICS",
    "WEIGHTS",
    "Agent",
    "Batch",
    "Learned",
    "MergeableAgent",
    "Model",
    "OnlineAgent",
    "SequentialAgent",
    "Statistics",
    "Transitions",
    "append_zeros",
    "best_actions",
    "check_shapes",
    "mergeable",
    "one_hot",
    "read_arrays",
    "write_arrays",
]
