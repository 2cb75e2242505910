"""Mixed teams: who plays which agent, what comes of it where that can be computed by hand, and what is refused."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from a2po.envs.matrix import GAMES
from a2po.envs.play import play as play_quota
from a2po.envs.registry import make
from a2po.errors import UserError
from a2po.evaluation.evaluate import evaluate
from a2po.evaluation.opponents import evaluate_opponents
from a2po.evaluation.play import play
from a2po.evaluation.seats import seats
from a2po.exporters.build import build_bundle
from a2po.runtime import Team, read_bundle
from a2po.streams import stream_seed
from a2po.training.checkpoints import Checkpoints
from a2po.training.runs import create_run, make_env

CLIMBING, CHEETAH = "matrix/climbing", "mamujoco/HalfCheetah-2x3"
MEMORY = {"hidden_sizes": (8,), "recurrent_layers": 1, "recurrent_size": 6}


@pytest.fixture(scope="module")
def written(tmp_path_factory, policy_at):
    """What ``run_of`` gives, made once."""
    made: dict[str, Path] = {}

    def write(name: str, task: str, *actions: int, scale: float = 1.0, agents: list[str] | None = None, **network) -> Path:
        key = repr((name, task, actions, scale, agents, network))
        if key in made:
            return made[key]
        run = made[key] = tmp_path_factory.mktemp("runs") / name
        policy = policy_at(run, task, **network)
        actors = policy.team.actors
        if actions:
            actors.values.zero_()
            bias = actors.views(actors.values)[f"{policy.team.actor_shape.network.output_layer}_bias"]
            bias.copy_(torch.eye(bias.shape[-1])[list(actions)].reshape(bias.shape))
        actors.values.mul_(scale)
        create_run(run, policy.config)
        Checkpoints(run / "checkpoints").save(4096, {"step": 4096, "team": policy.team.state_dict()}, best=True)
        build_bundle(policy, lambda copies: make_env(policy.config, copies, seed=1), agents=agents, output=run / "bundle")
        return run

    return write


@pytest.fixture
def run_of(written, tmp_path, monkeypatch):
    """``run_of(name, task, *actions)``: ``runs/name`` with a bundle, of random weights or of agents that always do the same."""
    monkeypatch.chdir(tmp_path)
    return lambda name, *what, **more: Path(shutil.copytree(written(name, *what, **more), Path("runs") / name))


@pytest.mark.parametrize(("own", "other"), [((0, 0), (1, 2)), ((2, 1), (0, 0))])
def test_returns_are_the_payoffs_of_whom_the_seats_belong_to(run_of, own, other):
    run_of("own", CLIMBING, *own), run_of("other", CLIMBING, *other)
    payoff, rounds = GAMES["climbing"], 3
    for seat, expected in (("row", payoff[other[0]][own[1]]), ("column", payoff[own[0]][other[1]])):
        result = evaluate("runs/own", episodes=4, teammates={seat: "runs/other"})
        assert result["returns"] == [rounds * expected] * 4
        assert list(result["teammates"]) == [seat]
        who = result["teammates"][seat]
        assert (result["run"], who["run"], who["algorithm"]) == ("own", "other", "a2po")
        assert who["bundle"]["path"] == "runs/other/bundle" and who["bundle"]["fingerprint"] == read_bundle("runs/other").fingerprint
        assert json.loads(Path(result["file"]).read_text())["teammates"] == result["teammates"]
    assert read_bundle("runs/own").manifest["evaluation"] is None and read_bundle("runs/other").manifest["evaluation"] is None
    assert not Path("runs/other/results").exists() and len(list(Path("runs/own/results").iterdir())) == 2
    assert evaluate("runs/own", episodes=4)["teammates"] == {} and read_bundle("runs/own").manifest["evaluation"] is not None


def plain_and_mixed(run: Path, agents: str, **arguments):
    plain = evaluate(run, **arguments)
    mixed = evaluate(run, teammates={agents: run}, **arguments)
    same = [key for key in plain if key not in ("bundle", "teammates", "file", "provenance", "wall_time_s", "steps_per_s")]
    assert {key: plain[key] for key in same} == {key: mixed[key] for key in same}
    return mixed


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_team_beside_itself_is_the_plain_team(run_of, num_envs, deterministic):
    """Bit for bit, also where agents share a network and where an episode ends in some copies only."""
    for name, network in (("memory", MEMORY), ("shared", {**MEMORY, "share_parameters": True})):
        run = run_of(name, "smac/3m", **network)
        mixed = plain_and_mixed(run, "marine_1,marine_2", episodes=6, num_envs=num_envs, deterministic=deterministic)
        assert list(mixed["teammates"]) == ["marine_1", "marine_2"] and len(set(mixed["lengths"])) > (not deterministic)


def test_a_robot_beside_itself_is_the_plain_robot(run_of):
    run = run_of("cheetah", CHEETAH, **MEMORY)
    plain_and_mixed(run, "agent_0", episodes=2, deterministic=False)
    whole, mixed = (play(run, steps=50, teammates=teammates)["episodes"] for teammates in (None, {"agent_1": run}))
    assert whole == mixed


def test_everybody_has_a_memory_of_his_own_and_the_noise_of_his_seat(run_of):
    """Three recurrent teams that sample, one seat each, played by hand; episodes end in different copies at different steps."""
    names, copies, episodes, seed = ["one", "two", "three"], 3, 9, 5
    teams = [Team.load(run_of(name, "smac/3m", scale=scale, **MEMORY)) for name, scale in zip(names, (1.0, -1.0, 1.5), strict=True)]
    stream = np.random.default_rng(seed)

    def by_hand(observations, begun):
        columns, noise = [], stream.random((copies, 3, 9), dtype=np.float32)
        for row, team in enumerate(teams):
            if begun is not None:
                team.reset(begun.numpy())
            actions = team.act(observations.obs.numpy(), observations.action_mask.numpy(), noise=noise)
            columns.append(torch.from_numpy(actions[:, row]))
        return torch.stack(columns, dim=1)

    with closing(make("smac/3m", copies, seed=stream_seed(seed, "bundle evaluation"))) as env:
        expected = [record["return"] for record in play_quota(env, by_hand, episodes)]
    others = {agent: f"runs/{name}" for agent, name in zip(teams[0].agents[1:], names[1:], strict=True)}
    arguments = {"episodes": episodes, "num_envs": copies, "seed": seed, "deterministic": False}
    result = evaluate("runs/one", teammates=others, **arguments)
    assert result["returns"] == expected and len(set(result["lengths"])) > 3
    assert result["returns"] != evaluate("runs/one", **arguments)["returns"]


@pytest.mark.parametrize(("own", "seat", "beside"), [("row", "column", "column"), ("whole", "column", "column"), ("shared", "row", "row")])
def test_two_who_sample_do_not_draw_the_same(run_of, own, seat, beside):
    """Two agents that choose evenly meet in the best cell three times in one of 729 episodes, however they are bundled."""
    for name, more in (
        ("whole", {}),
        ("shared", {"share_parameters": True}),
        ("row", {"agents": ["row"]}),
        ("column", {"agents": ["column"]}),
    ):
        run_of(name, CLIMBING, scale=0.0, **more)
    arguments = {"episodes": 1000, "num_envs": 1000, "deterministic": False}
    result = evaluate(f"runs/{own}", teammates={seat: f"runs/{beside}"}, **arguments)
    assert result["returns"].count(3 * GAMES["climbing"][0][0]) < 10
    assert result["returns"] == evaluate("runs/whole", **arguments)["returns"], "the noise belongs to the seat"


def test_scripts_beside_marines(marines, command, monkeypatch):
    """Agents that nearly always win do not beside somebody who does anything at all."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = command("evaluate", "--episodes", "20", "--teammate", "marine_1,marine_2=random", "--json")
    mixed, plain = json.loads(out), evaluate(marines, episodes=20)
    assert (code, err) == (0, "") and mixed["seeds"] == plain["seeds"]
    assert mixed["teammates"] == {"marine_1": {"player": "random"}, "marine_2": {"player": "random"}}
    assert mixed["metrics"]["won"]["mean"] < 0.5 < 0.8 < plain["metrics"]["won"]["mean"]
    for teammates in ({"marine_*": "nearest"}, {"marine_0,marine_2": "nearest", "marine_1": "random"}):
        with pytest.raises(
            UserError, match="teammates play every agent of 'smac/3m': nothing is left for the bundle 'runs/marines/bundle'"
        ):
            evaluate(marines, episodes=1, teammates=teammates)
    code, out, err = command("evaluate", "--episodes", "5", "--teammate", "marine_2 = nearest", "--teammate", "marine_1=random")
    assert (code, err) == (0, "") and "teammates  marine_1: the player random; marine_2: the player nearest" in out
    assert "of this one mixed team" in " ".join(out.split())


def test_a_script_with_a_bundle_beside_it(run_of, command):
    """The other way round: the bundle is the teammate, and samples where that is asked for."""
    run = run_of("own", CLIMBING, 0, 0)
    arguments = ("evaluate", "--player", "random", "--task", CLIMBING, "--episodes", "30", "--teammate", f"column={run}", "--json")
    code, out, err = command(*arguments)
    result = json.loads(out)
    assert (code, err) == (0, "") and result["file"] is None and set(result["returns"]) == {row[0] for row in GAMES["climbing"]}
    assert (result["policy"], result["actions"], result["teammates"]["column"]["run"]) == ("random", "greedy", "own")
    code, out, err = command(*arguments, "--sampled")
    sampled = json.loads(out)
    assert (code, err) == (0, "") and sampled["actions"] == "sampled" and len(set(sampled["returns"])) > 3
    out = command(*arguments[:-1], "--sampled")[1]
    assert f"{CLIMBING}: the player random" in out and "column: runs/own/bundle" in out and "(sampled actions)" in " ".join(out.split())
    code, out, err = command(*arguments[:-3], "--teammate", "column=random", "--sampled")
    assert (code, out) == (2, "") and "everybody who plays is a script" in err


def test_a_checkpoint_with_a_bundle_beside_it(run_of):
    run_of("own", CLIMBING, 2, 2), run_of("other", CLIMBING, 1, 1)
    result = evaluate("runs/own", episodes=2, policy="torch", teammates={"column": "runs/other"})
    assert (result["policy"], result["returns"]) == ("torch", [3 * GAMES["climbing"][2][1]] * 2)
    played = play(run="runs/own", teammates={"row": "runs/other"})
    assert played["episodes"][0]["return"] == 3 * GAMES["climbing"][1][2] and list(played["teammates"]) == ["row"]


def test_a_part_of_a_team_plays_with_others_and_beside_others(run_of, command):
    """Bundles of some agents: their seats are theirs wherever they are."""
    run_of("own", CLIMBING, 0, 0), run_of("row", CLIMBING, 1, 1, agents=["row"]), run_of("column", CLIMBING, 2, 2, agents=["column"])
    payoff = GAMES["climbing"]
    for bundle, teammates, cell in (
        ("runs/row", {"column": "runs/own"}, payoff[1][0]),
        ("runs/column", {"row": "runs/own"}, payoff[0][2]),
        ("runs/row", {"column": "runs/column"}, payoff[1][2]),
        ("runs/own", {"column": "runs/column"}, payoff[0][2]),
    ):
        assert evaluate(bundle, episodes=2, teammates=teammates)["returns"] == [3 * cell] * 2
    code, out, err = command("evaluate", "runs/row", "--episodes", "1")
    assert (code, out) == (2, "") and "its agents differ (it lacks column); in evaluate and play, teammates can play the others" in err
    code, out, err = command("train", CLIMBING, "--init-from", "runs/row/bundle", "--plain", "--steps", "64")
    assert (code, out) == (2, "") and err.rstrip().endswith("its agents differ (it lacks column)")
    code, out, err = command("evaluate", "runs/own", "--episodes", "1", "--teammate", "row=runs/column")
    assert (code, out) == (
        2,
        "",
    ) and "the bundle 'runs/column/bundle' does not fit 'matrix/climbing': it has no agent row (it has: column)" in err


def test_what_does_not_fit_may_stay_at_home(run_of):
    """The row of another game has too few actions for this one; its column fits, and plays where somebody else is the row."""
    run_of("uneven", "matrix/uneven"), run_of("own", CLIMBING, 0, 0)
    alone = evaluate("runs/uneven", episodes=1)["returns"][0] / 3
    column = GAMES["uneven"][0].index(alone) if alone in GAMES["uneven"][0] else GAMES["uneven"][1].index(alone)
    result = evaluate("runs/uneven", episodes=2, task=CLIMBING, options={"length": 3}, teammates={"row": "runs/own"})
    assert result["returns"] == [3 * GAMES["climbing"][0][column]] * 2
    result = evaluate("runs/own", episodes=2, teammates={"column": "runs/uneven"})
    assert result["returns"] == [3 * GAMES["climbing"][0][column]] * 2
    with pytest.raises(UserError, match="agent 'row': number of actions is 2, the task has 3"):
        evaluate("runs/uneven", episodes=2, task=CLIMBING, teammates={"column": "runs/own"})


def test_parts_of_robots(run_of):
    """Continuous controls, padded observations: a part plays as the whole does."""
    whole = run_of("whole", "mamujoco/Humanoid-9|8", hidden_sizes=(8,))
    agents = list(read_bundle(whole).manifest["task"]["agents"])
    run_of("part", "mamujoco/Humanoid-9|8", hidden_sizes=(8,), agents=agents[1:])
    plain, mixed = (play(whole, steps=20, teammates=teammates)["episodes"] for teammates in (None, {agents[1]: "runs/part"}))
    assert plain == mixed


def test_all_opponents_and_options(marines, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = evaluate_opponents(marines, episodes=2, teammates=[("marine_0", "kiting")], options={"action_delay": 1})
    for found in result["opponents"].values():
        assert list(found["teammates"]) == ["marine_0"] and found["options_given"]["action_delay"] == 1
    code, out, err = command("evaluate", "--episodes", "2", "--opponent", "all", "--teammate", "marine_0=kiting")
    assert (code, err) == (0, "") and "teammates  marine_0: the player kiting" in out


def test_a_report_says_who_played(marines):
    evaluate(marines, episodes=2)
    evaluate(marines, episodes=3, teammates={"marine_1": "heuristic", "marine_2": marines}, report=True)
    page = (marines / "report.html").read_text()
    who = f"marine_1: the player heuristic; marine_2: runs/marines/bundle ({read_bundle(marines).fingerprint[:8]})"
    assert page.count(who) == 2 and page.count("With teammates") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("column",), "--teammate column: expected AGENTS=WHO, for example agent_1=runs/other"),
        (("column=",), "expected AGENTS=WHO"),
        (("colum=random",), "teammates: no agent 'colum'; did you mean 'column'? (there are: row, column)"),
        (("col*,x*=random",), "teammates: no agent 'x*' (there are: row, column)"),
        (("column=random", "column=runs/first"), "teammates: the agent 'column' is named twice"),
        (("c*,column=random",), "teammates: the agent 'column' is named twice"),
        (("column=rnadom",), "no teammate 'rnadom'; did you mean 'random'? ('matrix/uneven' has the players: random; or name a bundle"),
        (("column=runs/frist",), "did you mean 'runs/first'"),
        (("column=runs",), "'runs' is neither a bundle nor a run folder"),
        (("column=altered",), "was altered"),
        (("row=other",), "the bundle 'other/bundle' does not fit 'matrix/uneven': agent 'row': number of actions is 3, the task has 2"),
    ],
)
@pytest.mark.parametrize("name", ["evaluate", "play"])
def test_what_a_user_can_mend(run, run_of, command, name, arguments, message):
    shutil.move(run_of("other", CLIMBING, 0, 0), "other")
    shutil.move(run_of("altered", "matrix/uneven"), "altered")
    (Path("altered") / "bundle" / "MODEL_CARD.md").write_text("nonsense")
    options = [part for text in arguments for part in ("--teammate", text)]
    code, out, err = command(name, *(("runs/first",) if name == "evaluate" else ("--bundle", "runs/first")), *options)
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1
    assert not (run / "results").exists()


def test_seats():
    agents = ["marine_0", "marine_1", "medivac_0", "a[1]"]
    assert seats(["marine_*", "a[1],medivac_0"], agents) == [["marine_0", "marine_1"], ["medivac_0", "a[1]"]]
    assert seats(["*_0"], agents) == [["marine_0", "medivac_0"]] and seats([], agents) == []
    with pytest.raises(UserError, match=r"no agent 'marine_\?'"):
        seats(["marine_?"], agents)
