"""The conformance tests that every environment passes, ours and yours.

    from a2po.testing import EnvironmentConformance

    class TestMyTask(EnvironmentConformance):
        task = "my_package.my_module:make"

pytest then looks at every rule below, one test each; ``a2po check-env my_package.my_module:make`` does the same from the
command line, and ``check_environment`` in Python. The rules themselves are in ``a2po.testing.rules``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from a2po.algorithms.catalogue import ALGORITHMS, can_train
from a2po.testing.broken import Broken, NotSeen
from a2po.testing.check import Finding, check_environment
from a2po.testing.resume import NETWORKS, check_training
from a2po.testing.rules import RULES
from a2po.testing.walk import Case, RandomPlayer

__all__ = ["Broken", "Case", "EnvironmentConformance", "Finding", "NotSeen", "RandomPlayer", "check_environment"]


class EnvironmentConformance:
    """One test per rule of the contract. Set ``task``, and what else differs.

    ``num_steps`` is how long random play goes on: more than an episode, so that ends are seen. ``deterministic`` says that
    nothing is left to chance, so that another seed need not change anything. ``algorithms`` and ``recurrent_layers`` are
    those of the short runs that are resumed.
    """

    task: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    num_envs: ClassVar[int] = 3
    num_steps: ClassVar[int] = 40
    deterministic: ClassVar[bool] = False
    algorithms: ClassVar[tuple[str, ...]] = ALGORITHMS
    recurrent_layers: ClassVar[tuple[int, ...]] = tuple(NETWORKS)

    @property
    def case(self) -> Case:
        """What is looked at, and how long."""
        return Case(self.task, self.options, self.num_envs, self.num_steps, self.deterministic)

    def test_interface(self) -> None:
        """Every method is there; closing twice is harmless."""
        RULES["interface"].check(self.case)

    def test_spec_is_consistent(self) -> None:
        """One entry per agent everywhere; a name for every feature and action; bounded spaces."""
        RULES["spec"].check(self.case)

    def test_no_method_raises(self) -> None:
        """Legal play raises nothing."""
        RULES["calls"].check(self.case)

    def test_shapes_and_dtypes(self) -> None:
        """Every tensor has the shape, dtype and device that the contract says."""
        RULES["shapes"].check(self.case)

    def test_numbers_are_finite(self) -> None:
        """No NaN, no infinity."""
        RULES["finite"].check(self.case)

    def test_padding_is_zero(self) -> None:
        """Features beyond an agent's size are zero."""
        RULES["padding"].check(self.case)

    def test_masks_are_legal(self) -> None:
        """Every living agent has a legal action and no padded one is legal."""
        RULES["masks"].check(self.case)

    def test_same_seed_same_numbers(self) -> None:
        """Two environments with one seed agree bit for bit; another seed differs."""
        RULES["seeding"].check(self.case)

    def test_copies_do_not_depend_on_their_number(self) -> None:
        """Copy 0 plays the same episodes alone and among others."""
        RULES["copies"].check(self.case)

    def test_episode_seeds_replay(self) -> None:
        """``reset(seeds=env.episode_seeds)`` plays the same episodes again, whatever was played before."""
        RULES["replay"].check(self.case)

    def test_ends_and_records(self) -> None:
        """A finished episode has a record with its seed, length and return; the copy goes on with a new seed."""
        RULES["episodes"].check(self.case)

    def test_no_episode_exceeds_its_limit(self) -> None:
        """``spec.max_episode_steps`` is kept."""
        RULES["limit"].check(self.case)

    def test_final_is_the_true_successor(self) -> None:
        """Where an episode ends, ``final`` is not the first observation of the next one."""
        RULES["final"].check(self.case)

    def test_out_is_filled_in_place(self) -> None:
        """With ``out`` the observations land in the caller's tensors and equal those without it."""
        RULES["out"].check(self.case)

    def test_state_round_trip(self) -> None:
        """A saved state, loaded into another environment, goes on bit for bit."""
        RULES["state"].check(self.case)

    def test_picture(self) -> None:
        """``render`` gives a picture, or says that there is none."""
        RULES["render"].check(self.case)

    def test_training_resumes_bit_for_bit(self) -> None:
        """Train 10 + resume 10 equals train 20, for every algorithm that is made for the task's actions, recurrent and not."""
        with self.case.environment(1) as env:
            algorithms = [algorithm for algorithm in self.algorithms if can_train(algorithm, env.spec)]
        for algorithm in algorithms:
            for layers in self.recurrent_layers:
                check_training(self.case, algorithm, layers)
