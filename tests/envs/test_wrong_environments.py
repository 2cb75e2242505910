"""Environments that are wrong on purpose: one message each, with the rule, the place and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from a2po.envs.protocol import Step, TaskSpec
from a2po.testing import check_environment


@pytest.fixture
def check(monkeypatch, orchard):
    """``check(change)``: the findings that are not passed, for the example with one method replaced."""

    def run(change: Callable[[type], dict[str, Any]], **arguments: Any) -> dict[str, tuple[str, str]]:
        wrong = type("Wrong", (orchard,), change(orchard))

        def factory(task, num_envs, *, seed, device, num_threads):
            return wrong(task, num_envs, seed=seed, device=device)

        module = ModuleType("wrong_env")
        module.make = factory
        monkeypatch.setitem(sys.modules, "wrong_env", module)
        findings = check_environment("wrong_env:make", **{"trainings": (), **arguments})
        return {f.rule: (f.status, f"{f.where}: {f.what}. {f.mend}") for f in findings if f.status != "passed"}

    return run


def on_step(change: Callable[[Any, Step], Step]) -> Callable[[type], dict[str, Any]]:
    def with_base(base: type) -> dict[str, Any]:
        def step(self, actions, out=None):
            return change(self, base.step(self, actions, out))

        return {"step": step}

    return with_base


def on_observe(change: Callable[[Any, np.ndarray, np.ndarray, np.ndarray], tuple]) -> Callable[[type], dict[str, Any]]:
    return lambda base: {"observe": lambda self: change(self, *base.observe(self))}


def on_spec(**fields: Any) -> Callable[[type], dict[str, Any]]:
    def with_base(base: type) -> dict[str, Any]:
        def init(self, *arguments, **named):
            base.__init__(self, *arguments, **named)
            self.spec = replace(self.spec, **fields)

        return {"__init__": init}

    return with_base


def on_records(change: Callable[[dict], dict]) -> Callable[[type], dict[str, Any]]:
    return lambda base: {"drain_episodes": lambda self: [change(record) for record in base.drain_episodes(self)]}


def set_at(values: np.ndarray, index: tuple, value: float) -> np.ndarray:
    values = values.copy()
    values[index] = value
    return values


def late(self, number: int) -> bool:
    return bool(self.length[0] >= number)


def raising(name: str, error: BaseException) -> Callable[[type], dict[str, Any]]:
    def fail(self, *arguments, **named):
        raise error

    return lambda base: {name: fail}


def unseeded(base: type) -> dict[str, Any]:
    return {"begin": lambda self, copy, random: base.begin(self, copy, np.random.default_rng())}


def shared_chance(base: type) -> dict[str, Any]:
    """One generator for all copies, seeded by the run: the same numbers again, but they depend on the number of copies."""

    def init(self, task, num_envs, *, seed, device):
        self.chance = np.random.default_rng(seed)
        base.__init__(self, task, num_envs, seed=seed, device=device)

    return {"__init__": init, "begin": lambda self, copy, random: base.begin(self, copy, self.chance)}


def half_saved(base: type) -> dict[str, Any]:
    return {"saved": ("pickers", "hanging")}


def no_final(self, step: Step) -> Step:
    return step._replace(final=step.observations)


def stale_final(base: type) -> dict[str, Any]:
    def step(self, actions, out=None):
        before = self._show()
        return base.step(self, actions, out)._replace(final=before)

    return {"step": step}


def ignoring_out(base: type) -> dict[str, Any]:
    return {"step": lambda self, actions, out=None: base.step(self, actions)}


def forgetting_the_mask(base: type) -> dict[str, Any]:
    def step(self, actions, out=None):
        shown = base.step(self, actions)
        if out is not None:
            for slot, values in list(zip(out, shown.observations, strict=True))[:2]:
                slot.copy_(values)
            out.alive.copy_(shown.observations.alive)
            shown = shown._replace(observations=out)
        return shown

    return {"step": step}


def endless(self, step: Step) -> Step:
    return step._replace(truncated=torch.zeros_like(step.truncated))


def narrow_second_agent(base: type) -> dict[str, Any]:
    """The second agent's observation is one feature narrower in the spec; the array still holds a number there."""

    def init(self, *arguments, **named):
        base.__init__(self, *arguments, **named)
        names = self.spec.feature_names
        self.spec = replace(self.spec, obs_sizes=(16, 15), feature_names=(names[0], names[1][:-1]))

    return {"__init__": init}


def no_replay(base: type) -> dict[str, Any]:
    """Chance from the run's seed and the number of the episode: the same again, but not at will."""

    def begin(self, copy, random):
        base.begin(self, copy, np.random.default_rng([self._tracker.seed, copy, self._tracker.episode[copy]]))

    return {"begin": begin}


def ignored_seeds(base: type) -> dict[str, Any]:
    return {"reset": lambda self, seeds=None: base.reset(self)}


def at_the_same_place(base: type) -> dict[str, Any]:
    return {"begin": lambda self, copy, random: base.begin(self, copy, np.random.default_rng(0))}


def no_spec(base: type) -> dict[str, Any]:
    def init(self, *arguments, **named):
        base.__init__(self, *arguments, **named)
        self.spec = {}

    return {"__init__": init}


THIS = "test_wrong_environments.py:"
WRONG: dict[str, tuple[Callable[[type], dict[str, Any]], str, list[str]]] = {
    # name: (what is changed, the rule, what the message says: the place and what to do)
    "reward of one number": (
        on_step(lambda self, step: step._replace(reward=step.reward.mean(1))), "shapes",
        ["step 1: reward", "[3], not [3, 2]", "float32 [B, N]"],
    ),
    "wide observations": (
        on_observe(lambda self, obs, state, mask: (np.concatenate([obs, obs], axis=2), state, mask)), "shapes",
        ["reset(): obs", "[3, 2, 32], not [3, 2, 16]"],
    ),
    "reward in double": (
        on_step(lambda self, step: step._replace(reward=step.reward.double())), "shapes",
        ["step 1: reward", "float64, not float32", ".to(torch.float32)"],
    ),
    "flags as numbers": (
        on_step(lambda self, step: step._replace(truncated=step.truncated.long())), "shapes", ["step 1: truncated", "int64, not bool"],
    ),
    "final is missing": (on_step(lambda self, step: step._replace(final=None)), "shapes", ["step 1, final", "None"]),
    "a plain tuple": (on_step(lambda self, step: tuple(step)), "shapes", ["step 1", "a tuple", "a2po.envs.Step"]),
    "no legal action": (
        on_observe(lambda self, obs, state, mask: (obs, state, set_at(mask, (0, 1), False) if late(self, 3) else mask)), "masks",
        ["step 3", "copy 0, agent 'blue'", "no action is legal", "does nothing"],
    ),
    "NaN reward": (
        on_step(lambda self, step: step._replace(reward=step.reward.where(torch.tensor(not late(self, 5)), torch.nan))), "finite",
        ["step 5: reward of copy 0, agent 'red'", "nan"],
    ),
    "infinite observation": (
        on_observe(lambda self, obs, state, mask: (set_at(obs, (0, 0, 2), np.inf) if late(self, 2) else obs, state, mask)), "finite",
        ["step 2: obs of copy 0, agent 'red', feature 'mate_row'", "inf"],
    ),
    "NaN state at once": (
        on_observe(lambda self, obs, state, mask: (obs, set_at(state, (0, 4), np.nan), mask)), "finite",
        ["reset(): state of copy 0, entry 4"],
    ),
    "chance without a seed": (unseeded, "seeding", ["reset(): obs of copy 0, agent 'red'", "same seed", "differ", "Draw all chance"]),
    "the seed is ignored": (at_the_same_place, "seeding", ["seeds 1 and 2 give the same", "--deterministic"]),
    "one generator for all": (shared_chance, "copies", ["copy 0", "alone and among 4 copies"]),
    "seeds that do not replay": (no_replay, "replay", ["reset()", "same episode seed"]),
    "seeds that are not taken": (ignored_seeds, "replay", ["env.episode_seeds after reset(seeds)"]),
    "no state at all": (lambda base: {"saved": ()}, "state", ["step 16", "loaded into a fresh environment"]),
    "half a state": (half_saved, "state", ["step 16: ", "loaded into a fresh environment", "all that the next step depends on"]),
    "a set in the state": (
        lambda base: {"state_dict": lambda self: {**base.state_dict(self), "open": {1, 2}}}, "state", ["set at", "/open"],
    ),
    "no successor": (on_step(no_final), "final", ["final of copy", "at every truncated step", "before the copy is reset"]),
    "the observation before": (stale_final, "final", ["final of copy", "before the step, at every truncated step"]),
    "a fault without an end": (
        on_step(lambda self, step: step._replace(invalid=~(step.terminated | step.truncated))), "final", ["step 1: invalid of copy 0"],
    ),
    "out is ignored": (ignoring_out, "out", ["step 1: observations.obs", "another tensor", "slot.copy_"]),
    "mask not in out": (forgetting_the_mask, "out", ["step 1: action_mask of copy 0", "out and a step without it"]),
    "padding with numbers": (narrow_second_agent, "padding", ["agent 'blue', feature 15 (padding)", "not 0", "zeros"]),
    "endless episodes": (on_step(endless), "limit", ["step 30: copy", "goes on after 30 steps"]),
    "two ends at once": (
        on_step(lambda self, step: step._replace(terminated=step.terminated | step.truncated)), "final",
        ["step 30: copy", "is terminated and truncated at once", "truncated alone"],
    ),
    "one reward for all copies": (
        lambda base: {"advance": lambda self, actions: (float(base.advance(self, actions)[0].mean()), False)}, "shapes",
        ["step 1: reward", "[], not [3, 2]"],
    ),
    "a misspelt record": (
        on_records(lambda record: {"retrun" if key == "return" else key: value for key, value in record.items()}), "episodes",
        ["record of copy", "'return' is missing; did you mean 'retrun'?"],
    ),
    "a metric forgotten": (
        on_records(lambda record: {key: value for key, value in record.items() if key != "apples"}), "episodes",
        ["'apples' is missing", "spec.metrics"],
    ),
    "a wrong return": (
        on_records(lambda record: {**record, "return": record["return"] * 2 + 1}), "episodes", ["'return'", "the rewards add up to"],
    ),
    "no records": (lambda base: {"drain_episodes": lambda self: []}, "episodes", ["has records of the copies []"]),
    "names too few": (on_spec(agents=("red", "blue", "green")), "spec", ["spec.obs_sizes", "has 2 entries, not 3"]),
    "features too few": (on_spec(obs_sizes=(17, 16)), "spec", ["spec.feature_names[0] of agent 'red'", "16 entries, not 17"]),
    "a name twice": (on_spec(agents=("red", "red")), "spec", ["spec.agents", "'red' stands there twice"]),
    "no state": (on_spec(state_size=0), "spec", ["spec.state_size", "is 0", "at least 1"]),
    "another state": (on_spec(state_size=31), "shapes", ["reset(): state", "[3, 32], not [3, 31]"]),
    "unbounded": (
        on_spec(action_spaces=(Box(-np.inf, np.inf, (5,)),) * 2), "spec", ["action_spaces[0] of agent 'red'", "unbounded", "finite"],
    ),
    "actions from 1": (on_spec(action_spaces=(Discrete(5, start=1),) * 2), "spec", ["action_spaces[0]", "starts at 1"]),
    "mixed spaces": (on_spec(action_spaces=(Discrete(5), Box(-1, 1, (5,)))), "spec", ["mixes Box and Discrete"]),
    "no spec": (no_spec, "spec", ["a dict"]),
    "a method is missing": (lambda base: {"drain_episodes": None}, "interface", ["without drain_episodes()"]),
    "a flat picture": (lambda base: {"render": lambda self, copy: np.zeros((4, 4))}, "render", ["float64 [4, 4]", "[height, width, 3]"]),
    "closing once": (
        lambda base: {"close": lambda self: self.__dict__.pop("pickers")}, "interface", ["close()", "KeyError", "the second time"],
    ),
    "reset raises": (raising("begin", ValueError("no such\nfield")), "calls", ["reset()", "ValueError: no such", THIS]),
    "step raises": (raising("advance", ZeroDivisionError()), "calls", ["step 1", "ZeroDivisionError", THIS]),
    "step leaves": (raising("advance", SystemExit(3)), "calls", ["step 1", "SystemExit: 3"]),
    "state_dict raises": (raising("state_dict", KeyError("x")), "calls", ["state_dict() after", "KeyError: 'x'"]),
    "render raises": (raising("render", OSError("no screen")), "render", ["render()", "OSError: no screen"]),
    "the spec cannot be read": (
        lambda base: {"spec": property(lambda self: 1 / 0, lambda self, value: None)}, "interface", ["ZeroDivisionError"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_environment_gets_one_message(name: str, check) -> None:
    """The rule that is broken and no other; what else cannot be looked at says why."""
    change, rule, hints = WRONG[name]
    found = check(change)
    assert [other for other, (status, _) in found.items() if status == "broken"] == [rule], found
    message = found[rule][1]
    for hint in hints:
        assert hint in message, message
    assert "\n" not in message and "Traceback" not in message


def lasting_memory(base: type, *, limit: int, then: Callable[[], float]) -> dict[str, Any]:
    """Something that outlives the episodes, is not saved, and shows only after a long time."""

    def advance(self, actions):
        self.age = getattr(self, "age", 0) + 1
        reward, over = base.advance(self, actions)
        return (reward + then() if self.age > limit else reward), over

    return {"advance": advance}


def test_training_finds_what_the_short_checks_cannot(check) -> None:
    """20 updates of 8 steps: the rewards of the last ones depend on what was not saved."""
    found = check(lambda base: lasting_memory(base, limit=100, then=lambda: 1.0), trainings=[("mappo", 0)])
    assert list(found) == ["training"] and found["training"][0] == "broken"
    for part in ("mappo, MLP", "20 updates and 10 + 10 resumed ones differ in /checkpoint/", "exact_state"):
        assert part in found["training"][1]


def test_an_environment_that_fails_in_training_is_named_with_its_line(check) -> None:
    found = check(lambda base: lasting_memory(base, limit=100, then=lambda: 1 / 0), trainings=[("a2po", 1)])
    assert found["training"][0] == "broken" and list(found) == ["training"]
    for part in ("a2po, GRU", "whole run, from the start", "ZeroDivisionError", THIS):
        assert part in found["training"][1]


def test_no_training_while_a_rule_is_broken(check) -> None:
    found = check(on_step(no_final), trainings=[("a2po", 0)])
    assert found["training"] == ("skipped", ": mend the broken rules first. ")


def test_an_inexact_state_must_only_resume_and_finish(check) -> None:
    """Such as an engine that cannot be saved: the resumed run begins new episodes."""

    def change(base: type) -> dict[str, Any]:
        return {"saved": (), **on_spec(exact_state=False)(base)}

    found = check(change, trainings=[("a2po", 0), ("a2po", 1)])
    assert list(found) == ["state"] and found["state"][0] == "skipped" and "exact_state is False" in found["state"][1]


def test_what_cannot_be_seen_is_not_called_passed(check) -> None:
    found = check(on_spec(), num_steps=5)
    assert {rule: status for rule, (status, _) in found.items()} == dict.fromkeys(("limit", "episodes", "final"), "skipped")
    assert "31 steps look further" in found["limit"][1] and "no episode ended within 5 steps" in found["final"][1]


def test_a_game_without_chance_says_so(check) -> None:
    assert check(at_the_same_place, deterministic=True) == {}


def test_observations_that_never_change_cannot_tell(check) -> None:
    still = on_observe(lambda self, obs, state, mask: (obs * 0, state * 0, mask | True))
    moves = {"advance": lambda self, actions: (np.zeros((self.num_envs, 2)), np.zeros(self.num_envs, bool))}
    found = check(lambda base: {**still(base), **moves}, deterministic=True)
    assert list(found) == ["final"] and found["final"][0] == "skipped" and "never changes" in found["final"][1]


def test_a_game_of_one_step_need_not_change_what_is_seen(check) -> None:
    """A context, one choice, the next context: what is seen after the choice is what was seen before it."""
    over = {"advance": lambda self, actions: (np.zeros((self.num_envs, 2)), np.zeros(self.num_envs, bool))}
    assert check(lambda base: {**over, **on_spec(max_episode_steps=1)(base)}, num_steps=4) == {}


RUBBISH = [None, 3, -1, "text", {}, [], (None,), [1.5, 2.5], object()]
METHODS = ["reset", "step", "drain_episodes", "state_dict", "load_state_dict", "close", "render"]
PLACES = ["spec", "device", "num_envs", *METHODS, *(f"{name}()" for name in METHODS), *(f"spec.{field.name}" for field in fields(TaskSpec))]
FINE = [("spec.task", "text"), ("spec.metrics", []), ("spec.max_episode_steps", 3), ("num_envs", 3), ("drain_episodes()", [])]


def with_rubbish(place: str, rubbish: Any) -> Callable[[type], dict[str, Any]]:
    if place.startswith("spec."):
        return on_spec(**{place.removeprefix("spec."): rubbish})
    if place.endswith("()"):
        return lambda base: {place.removesuffix("()"): lambda self, *given, **named: rubbish}

    def with_base(base: type) -> dict[str, Any]:
        def init(self, *given, **named):
            base.__init__(self, *given, **named)
            setattr(self, place, rubbish)

        return {"__init__": init}

    return with_base


@pytest.mark.parametrize("place", PLACES)
def test_rubbish_anywhere_is_a_message_and_never_an_exception(place: str, check) -> None:
    """An attribute, a method's result or a field of the spec is replaced by things that do not belong there."""
    for rubbish in RUBBISH:
        found = check(with_rubbish(place, rubbish), num_steps=3)
        broken = {rule: message for rule, (status, message) in found.items() if status == "broken"}
        assert broken or place == "close()" or (place, rubbish) in FINE, (rubbish, found)
        assert not any("the check itself" in message for message in broken.values()), (rubbish, broken)
