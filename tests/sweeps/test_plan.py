"""The plan of a sweep: what it stands for, what is wrong with it, and which changes a folder takes."""

from __future__ import annotations

import tomllib

import pytest

from a2po.config import to_toml
from a2po.errors import ConfigError, RunError
from a2po.sweeps.check import check_plan
from a2po.sweeps.folder import SweepFolder
from a2po.sweeps.parse import make_plan, parse_seeds, parse_vary, validate_plan
from a2po.sweeps.plan import SweepPlan, cells, overrides_text, planned_runs, run_config

CLIMBING = {"tasks": ["matrix/climbing"]}


@pytest.mark.parametrize(("text", "seeds"), [("0-2", [0, 1, 2]), ("0,1,5", [0, 1, 5]), ("7", [7]), ("0-1, 9-10", [0, 1, 9, 10])])
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "2-1", "-1", "0-", "0,,1", "1.5", "0-99999999"])
def test_wrong_seeds(text):
    with pytest.raises(ConfigError, match="--seeds"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("update.clip=0.1,0.2", "update.clip", [0.1, 0.2]),
        ("update.order=greedy,none", "update.order", ["greedy", "none"]),
        ("network.hidden_sizes=[8],[8, 16]", "network.hidden_sizes", [[8], [8, 16]]),
        ("env.options.words='a,b',true", "env.options.words", ["a,b", True]),
    ],
)
def test_values_to_vary(text, key, values):
    assert parse_vary(text) == (key, values)


@pytest.mark.parametrize("text", ["update.clip", "=1,2", "update.clip=", "update.clip=0.1,,0.2"])
def test_wrong_values_to_vary(text):
    with pytest.raises(ConfigError, match="--vary"):
        parse_vary(text)


def test_expansion():
    plan = make_plan(
        values={"tasks": ["matrix/climbing", "matrix/uneven"], "algorithms": ["a2po", "mappo"]},
        seeds="3,5",
        settings=["env.num_envs=8"],
        vary=["update.clip=0.1,0.3", "network.hidden_sizes=[8],[8,4]"],
        steps=100,
    )
    found = cells(plan)
    assert len(found) == 2 * 2 * 4
    assert found[0].name == "climbing-a2po-clip=0.1-hidden_sizes=8" and found[-1].name == "uneven-mappo-clip=0.3-hidden_sizes=8x4"
    assert overrides_text(found[-1].overrides) == "clip=0.3 hidden_sizes=8x4" and overrides_text({}) == "-"
    runs = planned_runs(plan)
    assert len({run.name for run in runs}) == 32
    assert [run.seed for run in runs] == [3] * 16 + [5] * 16
    config = run_config(plan, runs[-1].cell, runs[-1].seed)
    assert (config.task, config.algorithm, config.seed, config.update.clip) == ("matrix/uneven", "mappo", 5, 0.3)
    assert (config.env.num_envs, config.run.total_steps, config.network.hidden_sizes) == (8, 100, (8, 4))


def test_a_preset_and_a_word_for_nothing():
    plan = make_plan(values={**CLIMBING, "preset": "paper"}, vary=["update.order=none,random"])
    orders = [run_config(plan, cell, 0).update.order for cell in cells(plan)]
    assert orders == [None, "random"] and run_config(plan, cells(plan)[0], 0).preset == "paper"


def test_presets_may_be_varied(tmp_path):
    """The ablation sweep: cells, table and configurations tell the variants apart, and the folder knows them again."""
    plan = make_plan(values=CLIMBING, seeds="0", vary=["preset=fast,no-preopc,paper+no-preopc"])
    configs = check_plan(plan)
    assert list(configs) == [f"climbing-a2po-preset={name}" for name in ("fast", "no-preopc", "paper+no-preopc")]
    assert [config.preset for config in configs.values()] == ["fast", "no-preopc", "paper+no-preopc"]
    assert [config.update.advantage for config in configs.values()] == [None, "gae", "gae"]
    assert [overrides_text(cell.overrides) for cell in cells(plan)] == ["preset=fast", "preset=no-preopc", "preset=paper+no-preopc"]
    folder = SweepFolder(tmp_path / "mine")
    folder.make(plan)
    assert folder.read_plan() == plan
    with pytest.raises(RunError, match="--vary preset was 'fast', 'no-preopc', 'paper\\+no-preopc', now 'fast', 'no-preopc'"):
        folder.check(make_plan(values=CLIMBING, seeds="0", vary=["preset=fast,no-preopc"]))


def test_names_that_would_meet_are_told_apart():
    plan = SweepPlan(tasks=("matrix/climbing", "own/climbing"), seeds=(0,))
    names = [cell.name for cell in cells(plan)]
    assert len(set(names)) == 2 and all(name.startswith("climbing-a2po-") for name in names)
    reverse = SweepPlan(tasks=("own/climbing", "matrix/climbing"), seeds=(0,))
    assert {cell.name for cell in cells(reverse)} == set(names)


def test_file_and_options(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'tasks = ["matrix/climbing"]\nseeds = [0, 1]\n'
        '[settings]\nupdate.clip = 0.1\n"env.num_envs" = 8\n[vary]\nupdate.trace_decay = [0.9, 1.0]\n'
    )
    plan = make_plan(file=path, seeds="4", settings=["update.clip=0.3"])
    assert (plan.seeds, plan.settings) == ((4,), {"update.clip": 0.3, "env.num_envs": 8})
    assert plan.vary == {"update.trace_decay": (0.9, 1.0)}


def test_the_written_plan_is_the_plan():
    vary = ["network.hidden_sizes=[8],[8,8]", "update.order=greedy,none", "update.clip_value=true,false"]
    plan = make_plan(values=CLIMBING, vary=vary, settings=["env.options.note='say \"x\"'"], steps=5)
    assert validate_plan(tomllib.loads(to_toml(plan))) == plan


def test_every_problem_at_once():
    plan = make_plan(
        values={"tasks": ["matrix/climbin", "matrix/climbing"], "algorithms": ["a2po", "mapo"]},
        settings=["update.clp=1"],
        vary=["update.clip=0.1,3"],
    )
    with pytest.raises(ConfigError) as error:
        check_plan(plan)
    for words in ("unknown key 'update.clp'; did you mean 'clip'", "clip=3", "did you mean 'matrix/climbing'", "did you mean 'mappo'"):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seeds": "0,1,0"}, "--seeds: 0 is given more than once"),
        ({"values": {"tasks": ["matrix/climbing"] * 2}}, '--task: "matrix/climbing" is given more than once'),
        ({"vary": ["update.clip=0.1,0.10"]}, "--vary update.clip: 0.1 is given more than once"),
        ({"vary": ["update.clip=0.1,0.2"], "settings": ["update.clip=0.3"]}, "both fixed"),
        ({"settings": ["task=matrix/penalty"]}, "option of its own in a sweep: --task"),
        ({"vary": ["seed=0,1"]}, "--seeds"),
        ({"settings": ["preset=paper"]}, "option of its own in a sweep: --preset"),
        ({"values": {**CLIMBING, "preset": "paper"}, "vary": ["preset=fast,blocks"]}, "both fixed (--preset) and varied"),
        ({"vary": ["preset=fast,fsat"]}, "did you mean 'fast'"),
        ({"values": {**CLIMBING, "algorithms": ["mappo"]}, "vary": ["preset=fast,order-random"]}, "no meaning for mappo"),
        ({"values": {**CLIMBING, "algorithms": ["qmix"]}, "vary": ["preset=fast,no-preopc"]}, "no meaning for qmix"),
        ({"values": {**CLIMBING, "algorithms": ["vdn"]}, "settings": ["update.time_limits=zeroed"]}, "no meaning for vdn"),
        ({"values": {**CLIMBING, "preset": "qmix-tuned"}}, "is not for 'a2po' but for qmix, vdn"),
        ({"vary": ["preset=fast,fast+fast"]}, "have the same configuration"),
        ({"settings": ["update=3", "update.clip=0.3"]}, "'update.clip' lies inside 'update'"),
        ({"vary": ["env.num_envs=64,64.0"]}, "have the same configuration"),
        ({"settings": ["env.options.lenght=3"]}, "did you mean 'length'"),
        ({"settings": ["env.options.seed=3"]}, "env.options.seed"),
        ({"vary": ["init_from=none,no-such"]}, "--init-from 'no-such': there is no such run or bundle (a sweep needs its path"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_plans(given, words):
    with pytest.raises(ConfigError) as error:
        check_plan(make_plan(**{"values": CLIMBING, **given}))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"settings": ["a=1", "a=2"]}, "a is given more than once"),
        ({"values": {"task": "x"}}, "unknown key 'task'; did you mean 'tasks'"),
        ({"values": {"seeds": [-1]}}, "sweep: seeds.0"),
        ({"values": {"evaluation_episodes": 0}}, "sweep: evaluation_episodes"),
    ],
)
def test_plans_of_the_wrong_form(given, words):
    with pytest.raises(ConfigError) as error:
        make_plan(**given)
    assert words in str(error.value)


def plan_of(seeds="0-1", steps=100, settings=(), **values):
    return make_plan(values={**CLIMBING, **values}, seeds=seeds, steps=steps, settings=settings)


@pytest.mark.parametrize("now", [plan_of(), plan_of("0-3"), plan_of(steps=200), plan_of(evaluation_episodes=8)])
def test_a_folder_takes_the_same_plan_or_a_longer_one(tmp_path, now):
    folder = SweepFolder(tmp_path / "mine")
    folder.check(plan_of())
    folder.make(plan_of())
    folder.check(now)
    folder.make(now)
    assert folder.read_plan() == now


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (plan_of("1-2"), ["seeds 0 are left out"]),
        (plan_of(steps=50), ["steps were 100, now 50"]),
        (plan_of(algorithms=["a2po", "mappo"]), ["algorithms was 'a2po', now 'a2po', 'mappo'"]),
        (
            plan_of(settings=["update.clip=0.1"], preset="paper"),
            ["--set update.clip was not set, now 0.1", "preset was 'fast', now 'paper'"],
        ),
    ],
)
def test_a_folder_refuses_another_plan(tmp_path, now, words):
    folder = SweepFolder(tmp_path / "mine")
    folder.make(plan_of())
    with pytest.raises(RunError) as error:
        folder.check(now)
    assert all(word in str(error.value) for word in [*words, "another --name"])
    assert folder.read_plan() == plan_of()


def test_a_falling_learning_rate_fixes_the_steps(tmp_path):
    linear = ["update.learning_rate_schedule=linear"]
    folder = SweepFolder(tmp_path / "mine")
    folder.make(plan_of(settings=linear))
    with pytest.raises(RunError, match="falls linearly"):
        folder.check(plan_of(settings=linear, steps=200))


def test_folders_that_are_no_sweep(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(RunError, match="is no sweep"):
        SweepFolder(tmp_path / "other").check(plan_of())
    SweepFolder(tmp_path / "mine").make(plan_of())
    with pytest.raises(RunError, match="did you mean 'mine'"):
        SweepFolder(tmp_path / "mina").read_plan()


def test_a_run_is_done_when_its_steps_and_its_evaluation_are_those_of_the_plan(tmp_path):
    plan, folder = plan_of(steps=100), SweepFolder(tmp_path)
    config = run_config(plan, cells(plan)[0], 0)
    (folder.runs / "x").mkdir(parents=True)
    (folder.runs / "x" / "outcome.json").write_text('{"evaluation": {}, "total_steps": 100, "episodes": 32}')
    assert folder.done("x", config, 32) and not folder.done("x", config, 64) and not folder.done("y", config, 32)
    longer = plan_of(steps=200)
    assert not folder.done("x", run_config(longer, cells(longer)[0], 0), 32)
