"""The whole way in Python: train with a callback that stops at the optimum, export, evaluate, and play without torch.

    python examples/python_api.py

Two agents learn a game of one step in which both must choose the same corner (matrix/penalty). It takes some seconds; the run
and its bundle are in runs/.
"""

from __future__ import annotations

import numpy as np

import a2po
from a2po.runtime import Team
from a2po.training.view import SilentView

OPTIMUM = 10.0
PAYOFF = np.array([[10, 0, -10], [0, 2, 0], [-10, 0, 10]])  # rows: the first agent's choice; columns: the second's


def main() -> None:
    """Train, export, evaluate, play."""
    config = a2po.resolve(
        values={"task": "matrix/penalty", "algorithm": "a2po", "seed": 1},
        settings=[
            *("env.num_envs=64", "network.hidden_sizes=[16]", "update.rollout_length=4", "update.num_minibatches=1"),
            *("update.actor_learning_rate=0.03", "update.critic_learning_rate=0.03", "update.entropy_coefficient=0.01"),
            *("run.total_steps=50000", "run.evaluate_every=2560", "run.evaluation_episodes=100", "run.track=[]"),
        ],
    )
    curve: list[float] = []
    greedy: list[float | None] = []

    def watch(progress: a2po.TrainProgress) -> bool:
        """Remember the curve, print every evaluation, and stop when greedy play was optimal three times running."""
        curve.append(progress.return_mean or 0.0)
        if progress.evaluated:
            greedy.append(progress.evaluation)
            moved = ", ".join(f"{agent} moved {values['kl']:.4f} nats" for agent, values in progress.agents.items())
            print(f"step {progress.step:,}: return {curve[-1]:.2f}, greedy {progress.evaluation:.2f}; {moved}")
        return greedy[-3:] == [OPTIMUM] * 3

    result = a2po.train(config, callback=watch, view=SilentView())
    print(f"stopped: {result.stopped}, after {result.step:,} of {config.run.total_steps:,} steps; return {curve[0]:.2f} to {curve[-1]:.2f}")

    bundle = a2po.export(result.run)
    print(f"the exported team: mean return {a2po.evaluate(bundle, episodes=100)['mean']:.2f} over 100 episodes")

    team = Team.load(bundle)  # from here on: numpy and onnxruntime
    team.reset()
    seen = np.array([0.0, 0.5], np.float32)  # rounds_played, noise: what both agents of this game see
    chosen = team.act({name: seen for name in team.agents})
    print(f"{team.agents[0]} plays {chosen['row']}, {team.agents[1]} plays {chosen['column']}: {PAYOFF[chosen['row'], chosen['column']]}")


if __name__ == "__main__":
    main()
