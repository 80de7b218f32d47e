"""python -m tests.benchmarks.reference PORT POLICY [--ours]: an optimised server like Google's TF-Agents sample.

FastAPI with a SavedModel that is called once per instance: that of TF-Agents' LinearUCBAgent with our policy's
statistics, or ours. Unlike in the sample, tensors have one fixed shape, so nothing is retraced, and nothing is
published.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from banditloop.rl_core.agents import STATISTICS, read_arrays
from banditloop.rl_core.tf import tf

# isort: split
from tf_agents.bandits.policies.lin_ucb_policy import LinearUCBPolicy
from tf_agents.policies.policy_saver import PolicySaver
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step

DIM, ACTIONS = 20, 20


def save_theirs(statistics: Path, folder: Path) -> None:
    """Save TF-Agents' policy with these statistics, as its agent does: single precision, conjugate gradients."""
    arrays = read_arrays(statistics)
    names = "covariances", "vectors", "counts"
    learned = [[tf.Variable(array, dtype=tf.float32) for array in arrays[name]] for name in names]
    steps = time_step.time_step_spec(tensor_spec.TensorSpec([DIM], tf.float32))
    policy = LinearUCBPolicy(tensor_spec.BoundedTensorSpec((), tf.int32, 0, ACTIONS - 1), *learned, steps)
    PolicySaver(policy, batch_size=None).save(str(folder))


def create_app(saved_model: Path) -> FastAPI:
    model = tf.saved_model.load(str(saved_model))
    signature = [tf.TensorSpec([1, DIM], tf.float32)]
    act = tf.function(lambda observation: model.action(time_step.restart(observation, 1)), input_signature=signature)
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        predictions = []
        for instance in (await request.json())["instances"]:
            step = act(tf.constant([instance], tf.float32))
            predictions.append({"action": int(step.action.numpy()[0])})
            publish(instance, predictions[-1])
        return {"predictions": predictions}

    act(tf.zeros([1, DIM]))  # traced before the first request
    return app


def publish(instance: list[float], prediction: dict[str, Any]) -> None:
    """Does nothing; the sample publishes a message here."""


def main(port: int, policy: Path, ours: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if not ours:
            save_theirs(policy / STATISTICS, Path(folder))
        app = create_app(policy if ours else Path(folder))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_keep_alive=60)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), "--ours" in sys.argv)
