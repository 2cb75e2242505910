"""The rule ``training`` notices whatever a resumed run forgets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from a2po.algorithms.learner import PolicyLearner
from a2po.envs.episodes import EpisodeTracker
from a2po.networks.team_policy import TeamPolicy
from a2po.testing.broken import Broken
from a2po.testing.resume import _config, check_training
from a2po.testing.walk import Case
from a2po.training.rollout import Sampler
from a2po.training.trainer import Trainer

CASE = Case("matrix/climbing", {"length": 7})  # ten updates of eight steps end in the middle of an episode
FORGOTTEN = {
    "sampling": (Sampler, "noise"),
    "the observations to go on from": (Sampler, "now.obs"),
    "what the actors remember": (Sampler, "actor_memory"),
    "what the critics remember": (Sampler, "critic_memory"),
    "the update order": (PolicyLearner, "order"),
    "minibatches": (PolicyLearner, "minibatches."),
    "actors": (TeamPolicy, "actors."),
    "critics": (TeamPolicy, "critics."),
    "observation statistics": (TeamPolicy, "obs_norm."),
    "state statistics": (TeamPolicy, "state_norm."),
    "value statistics": (TeamPolicy, "value_norm."),
    "running returns": (EpisodeTracker, "returns"),
    "lengths": (EpisodeTracker, "length"),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_what_is_forgotten_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, prefix = FORGOTTEN[what]
    genuine = owner.load_state_dict

    def forgetful(self, state):
        fresh = {key: value for key, value in self.state_dict().items() if key.startswith(prefix)}
        assert fresh
        return genuine(self, {**state, **fresh})

    monkeypatch.setattr(owner, "load_state_dict", forgetful)
    network, layers = ("GRU", 1) if "remember" in what else ("MLP", 0)
    with pytest.raises(Broken, match=rf"a2po, {network}: 20 updates and 10 \+ 10 resumed ones differ in /"):
        check_training(CASE, "a2po", layers)


def test_a_changed_metrics_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from a2po.testing import resume

    genuine = resume.read_metrics

    def altered(path):
        rows = genuine(path)
        if path.parent.name == "parts":
            rows[15]["agents"]["row"]["kl"] += 1e-9
        return rows

    monkeypatch.setattr(resume, "read_metrics", altered)
    with pytest.raises(Broken, match="/metrics/15/agents/row/kl"):
        check_training(CASE, "a2po", 0)


def test_nothing_forgotten_passes_and_times_may_differ() -> None:
    check_training(CASE, "a2po", 0)


def test_whoever_begins_anew_remembers_nothing(tmp_path: Path) -> None:
    """Such as the copies of an environment that could not be saved, after a resume."""
    trainer = Trainer(_config(CASE, "a2po", 1, 2), tmp_path, torch.device("cpu"), print)
    trainer.round()
    memories = trainer.buffer.actor_memory, trainer.buffer.critic_memory
    assert all(memory[0].any() for memory in memories)
    trainer.sampler.start()
    assert not any(memory[0].any() for memory in memories)
    trainer.close()
