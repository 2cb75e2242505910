"""`a2po check-env`, and own environments on the whole way: from the working folder, and from an installed package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from a2po.cli.app import main
from a2po.testing.rules import RULES
from a2po.training.metrics import read_metrics

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_environment.py"
A2PO = Path(sys.executable).with_name("a2po")
SMALL = ["--device", "cpu", "--set", "env.num_envs=4", "--set", "update.rollout_length=8", "--set", "run.evaluation_episodes=2"]
SMALL += ["--set", "network.hidden_sizes=[8]", "--set", "update.num_epochs=1", "--steps", "256", "--name", "mine"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def a2po(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command line in this process, in an empty folder; what it imports is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["a2po", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    yield run
    for name in set(sys.modules) - before:
        if name.startswith(("my_env", "orchard_games")):
            del sys.modules[name]


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed console script, which does not put its working folder on sys.path."""
    return subprocess.run([A2PO, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_a_task_of_ours_passes(a2po: Run) -> None:
    code, out, err = a2po("check-env", "matrix/uneven", "--set", "length=3")
    lines = out.splitlines()
    assert code == 0 and err == "" and [line.split()[:2] for line in lines[:-1]] == [["passed", rule] for rule in (*RULES, "training")]
    assert lines[-1] == f"matrix/uneven: {len(RULES) + 1} passed"


def test_all_algorithms_with_train(a2po: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from a2po.algorithms.catalogue import ALGORITHMS
    from a2po.testing import check

    trained = []
    monkeypatch.setattr(check, "check_training", lambda case, **which: trained.append((which["algorithm"], which["recurrent_layers"])))
    assert a2po("check-env", "matrix/climbing", "--train")[0] == 0
    assert trained == [(algorithm, layers) for algorithm in ALGORITHMS for layers in (0, 1)]


def test_a_broken_one_fails_and_scripts_can_read_why(a2po: Run, tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace("return here.sum(2) - 0.05,", 'print("picked")\n        return here.sum(2) * np.nan,')
    (tmp_path / "my_env_nan.py").write_text(text)
    code, out, err = a2po("check-env", "my_env_nan:make", "--json", "--num-envs", "2", "--steps", "7")
    found = json.loads(out)
    assert code == 1 and found["passed"] is False and "picked" in err and "Traceback" not in err
    broken = [rule for rule in found["rules"] if rule["status"] == "broken"]
    assert [rule["rule"] for rule in broken] == ["finite"] and broken[0]["where"] == "step 1: reward of copy 0, agent 'red'"
    assert broken[0]["what"] == "is nan" and broken[0]["mend"]
    code, out, _ = a2po("check-env", "my_env_nan:make", "--steps", "7")
    assert (
        code == 1
        and ["BROKEN", "finite"] in [line.split()[:2] for line in out.splitlines()]
        and "step 1: reward of copy 0, agent 'red': is nan" in out
        and "1 broken" in out
    )


BAD_MODULES = {
    "my_env_leaves": "raise SystemExit(0)\n",
    "my_env_factory_leaves": "def make(task, num_envs, **options):\n    raise SystemExit(0)\n",
    "my_env_syntax": "def make(:\n",
    "my_env_raises": "import json\n\n\njson.loads('{')\n",
    "my_env_factory": "def make(task, num_envs, *, seed, device, num_threads):\n    return undefined\n",
    "my_env_signature": "def make(task):\n    return None\n",
}
WRONG: list[tuple[list[str], list[str]]] = [
    (["matrix/climbin"], ["did you mean 'matrix/climbing'"]),
    (["no_such_module:make"], ["'no_such_module' cannot be imported", "ModuleNotFoundError"]),
    (["my_env_syntax:make"], ["SyntaxError", "my_env_syntax.py:1"]),
    (["my_env_raises:make"], ["JSONDecodeError", "my_env_raises.py:4"]),
    (["my_env_leaves:make"], ["cannot be imported (SystemExit: 0 (my_env_leaves.py:1))"]),
    (["my_env_factory_leaves:make"], ["the factory raised SystemExit: 0 (my_env_factory_leaves.py:2)"]),
    (["my_env_factory:make"], ["the factory raised NameError", "'undefined'", "my_env_factory.py:2"]),
    (["my_env_factory:mak"], ["has no 'mak'", "did you mean 'make'", "my_env_factory.py"]),
    (["my_env_factory.py:make"], ["did you mean 'my_env_factory:make'"]),
    (["./my_env_factory.py:make"], ["did you mean 'my_env_factory:make'"]),
    (["my_env_signature:make"], ["'make' is no factory that takes (task, num_envs, *"]),
    (["matrix/climbing", "--set", "lenght=3"], ["'lenght'", "did you mean 'length'"]),
    (["matrix/climbing", "--set", "seed=3"], ["seed", "not an option of a task"]),
    (["matrix/climbing", "--set", "length"], ["KEY=VALUE"]),
]


@pytest.mark.parametrize(("arguments", "hints"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_what_a_person_gets_wrong(arguments: list[str], hints: list[str], a2po: Run, tmp_path: Path) -> None:
    for name, text in BAD_MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    code, out, err = a2po("check-env", *arguments)
    assert code == 2 and out == "" and err.startswith("a2po: ") and "Traceback" not in err and len(err.splitlines()) == 1
    for hint in hints:
        assert hint in err


def test_an_environment_in_the_working_folder_goes_the_whole_way(a2po: Run, tmp_path: Path) -> None:
    """Check, train, export and evaluate; evaluating a bundle's own environment must be said."""
    shutil.copy(EXAMPLE, tmp_path / "my_env.py")
    for arguments in (["check-env", "my_env:make"], ["train", "--task", "my_env:make", *SMALL], ["export"]):
        code, _, err = a2po(*arguments)
        assert code == 0, err
    code, _, err = a2po("evaluate", "--episodes", "4")
    assert code == 2 and "--task my_env:make" in err
    result = json.loads(a2po("evaluate", "--episodes", "4", "--task", "my_env:make", "--json")[1])
    assert result["episodes"] == 4 and set(result["metrics"]) == {"apples"}
    assert all(length <= 30 for length in result["lengths"])
    rows = [row for row in read_metrics(tmp_path / "runs" / "mine" / "metrics.jsonl") if row.get("return_mean") is not None]
    told = [(row["return_mean"], row["apples_mean"], row["length_mean"]) for row in rows if row["kind"] == "update"]
    played = result["mean"], result["metrics"]["apples"]["mean"], result["length"]["mean"]
    for score, apples, length in [*told, played]:  # the agents' mean reward: 1 per apple to one, a twentieth per step off both
        assert score == pytest.approx((apples - 0.1 * length) / 2, abs=1e-4)
    assert told


FALLING = "from pathlib import Path\n" + EXAMPLE.read_text().replace(
    "        self.pickers += MOVES", "        if Path('fall').exists():\n            self.unknown['x']\n        self.pickers += MOVES"
)


def test_an_environment_that_falls_in_the_middle_is_one_line_with_its_place(a2po: Run, tmp_path: Path) -> None:
    """In training, with the checkpoint that is left, and wherever else it is played. The traceback is in the log."""
    (tmp_path / "my_env_falls.py").write_text(FALLING)
    line = FALLING.splitlines().index("            self.unknown['x']") + 1
    place = f"AttributeError: 'Orchard' object has no attribute 'unknown' (my_env_falls.py:{line})"
    play = ["--episodes", "2", "--task", "my_env_falls:make"]
    assert a2po("train", "--task", "my_env_falls:make", *SMALL)[0] == 0 and a2po("export")[0] == 0
    (tmp_path / "fall").touch()
    train = ["train", "--name", "mine", "--resume", "--steps", "512"]
    for arguments in (train, ["export", "--output", "other"], ["evaluate", *play]):
        code, _, err = a2po(*arguments)
        last = err.splitlines()[-1]
        assert code == 1 and last.startswith("a2po: ") and place in last and "Traceback" not in err, err
        if arguments is train:
            assert "--name mine --resume goes on from step_000000000256" in last and "log.txt" in last
    log = (tmp_path / "runs" / "mine" / "log.txt").read_text()
    assert "Traceback" in log and "self.unknown['x']" in log and "my_env_falls.py" in log
    (tmp_path / "fall").unlink()
    assert a2po(*train)[0] == 0
    (tmp_path / "fall").touch()
    code, _, err = a2po("train", "--task", "my_env_falls:make", *SMALL, "--name", "none")
    assert code == 1 and "nothing is saved yet" in err


def test_an_engine_that_is_gone_cannot_be_closed_and_hides_nothing(a2po: Run, tmp_path: Path) -> None:
    gone = '    def close(self):\n        raise ValueError("server gone")\n\n    def render('
    (tmp_path / "my_env_gone.py").write_text(FALLING.replace("    def render(", gone))
    code, _, err = a2po("train", "--task", "my_env_gone:make", *SMALL)
    assert code == 0 and "closing my_env_gone:make failed: ValueError: server gone (my_env_gone.py:" in err
    (tmp_path / "fall").touch()
    code, _, err = a2po("train", "--name", "mine", "--resume", "--steps", "512")
    assert code == 1 and "no attribute 'unknown'" in err.splitlines()[-1] and "server gone" in err


def test_who_leaves_an_environment_that_hangs_is_told_where_it_hung(a2po: Run, tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace("        self.pickers += MOVES", "        raise KeyboardInterrupt\n        self.pickers += MOVES")
    (tmp_path / "my_env_hangs.py").write_text(text)
    code, _, err = a2po("check-env", "my_env_hangs:make")
    line = text.splitlines().index("        raise KeyboardInterrupt") + 1
    assert code == 130 and f"interrupted while checking calls: KeyboardInterrupt (my_env_hangs.py:{line})" in err


def test_json_of_a_talkative_environment_is_json(a2po: Run, tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace("        self.pickers += MOVES", "        print('step')\n        self.pickers += MOVES")
    (tmp_path / "my_env_talks.py").write_text(text)
    code, out, err = a2po("train", "--task", "my_env_talks:make", *SMALL, "--json")
    assert code == 0 and json.loads(out)["step"] == 256 and "step\n" in err


def test_numbers_of_the_wrong_shape_are_not_spread_over_all_copies(a2po: Run, tmp_path: Path) -> None:
    (tmp_path / "my_env_one.py").write_text(EXAMPLE.read_text().replace("return here.sum(2) - 0.05,", "return here.sum(2)[:1] - 0.05,"))
    code, _, err = a2po("train", "--task", "my_env_one:make", *SMALL)
    assert code == 1 and "step() must give 'reward' as [4, 2], gave [1, 2]" in err and "check-env my_env_one:make" in err


def test_the_console_script_finds_the_working_folder_and_lets_it_hide_nothing(tmp_path: Path) -> None:
    for name in ("json", "a2po", "numpy", "cli"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    shutil.copy(EXAMPLE, tmp_path / "my_env.py")
    done = command(tmp_path, "check-env", "my_env:make")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def install(a2po: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``install(text)``: a package ``orchard_games`` with its dist-info on the path, as an installer leaves them."""

    def put(text: str) -> None:
        site = tmp_path / "site"
        info = site / "orchard_games-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orchard-games\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[a2po.envs]\norchard = orchard_games\n")
        (info / "RECORD").write_text("orchard_games.py,,\norchard_games-1.0.dist-info/METADATA,,\n")
        (site / "orchard_games.py").write_text(text)
        monkeypatch.syspath_prepend(site)

    return put


FAMILY = '\n\ndef task_names() -> list[str]:\n    return ["orchard/small"]\n'


def test_a_family_registers_through_the_entry_point_group(install: Callable[[str], None], a2po: Run) -> None:
    install(EXAMPLE.read_text() + FAMILY)
    listed = json.loads(a2po("tasks", "--json")[1])
    assert "orchard/small" in listed and "matrix/climbing" in listed
    commands = ["check-env", "orchard/small"], ["train", "--task", "orchard/small", *SMALL], ["export"], ["evaluate", "--episodes", "2"]
    for arguments in commands:
        code, _, err = a2po(*arguments)
        assert code == 0, err
    code, _, err = a2po("train", "--task", "orchard/smal")
    assert code == 2 and "did you mean 'orchard/small'" in err


@pytest.mark.parametrize(
    ("text", "hint"),
    [("import no_such_package\n", "No module named 'no_such_package'"), ("make = None\n", "has no function task_names and no make")],
)
def test_a_family_that_does_not_work_is_named(text: str, hint: str, install: Callable[[str], None], a2po: Run) -> None:
    install(text)
    for arguments in (["tasks"], ["check-env", "orchard/small"]):
        code, _, err = a2po(*arguments)
        assert code == 2 and hint in err and "'orchard'" in err and "Traceback" not in err
    assert a2po("check-env", "matrix/climbing")[0] == 0
