"""Videos of real play, decoded again; what is broken off leaves no file; one clear message for what the user can mend."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.matrix.game import MatrixGame
from a2po.errors import DependencyError, TaskError, UserError, WorkFailed
from a2po.evaluation.camera import Tally
from a2po.evaluation.encoders import open_film
from a2po.evaluation.evaluate import evaluate
from a2po.evaluation.play import play
from a2po.evaluation.video import VideoOptions, captioned, check_video, parse_size, tempo
from a2po.exporters.build import build_bundle
from a2po.training.runs import make_env


@pytest.fixture
def pictures(tmp_path_factory):
    try:
        play(task="mamujoco/HalfCheetah-2x3", player="random", steps=1, video=tmp_path_factory.mktemp("probe") / "probe.gif")
    except DependencyError as error:
        pytest.skip(str(error))


def decode(path: Path) -> np.ndarray:
    return imageio.imread(path, plugin="FFMPEG" if path.suffix == ".mp4" else "pillow")


def test_a_play_is_the_evaluations_first_episode(cheetah):
    result = play(steps=None, episodes=1)
    evaluated = evaluate(episodes=1, num_envs=1)
    (episode,) = result["episodes"]
    assert (episode["return"], episode["seed"]) == (evaluated["returns"][0], evaluated["seeds"][0])
    assert episode["complete"] and episode["length"] == 1000 and "distance" in episode
    assert result["policy"] == "onnx" and result["video"] is None


def test_steps_cut_an_episode(run):
    result = play(run=run, checkpoint="latest", episodes=5, steps=7, deterministic=False)
    assert [episode["length"] for episode in result["episodes"]] == [3, 3, 1]
    assert [episode["complete"] for episode in result["episodes"]] == [True, True, False]
    whole = play(run=run, checkpoint="latest", episodes=3, deterministic=False)["episodes"]
    assert [episode["seed"] for episode in whole] == [episode["seed"] for episode in result["episodes"]]
    assert whole[:2] == result["episodes"][:2]
    assert result["policy"] == "torch" and result["actions"] == "sampled"


def test_a_tally_begins_anew_with_every_episode():
    """Three rounds of 10 points, and one of the next episode, which is cut."""
    env = make("matrix/penalty", 1, length=3)
    tally = Tally(env)
    env.reset()
    for _ in range(4):
        tally.count(env.step(torch.zeros((1, 2), dtype=torch.int64)))
    assert tally.caption() == "episode 2   step 1   return 10.0"
    tally.close()
    assert [(episode["length"], episode["return"]) for episode in tally.episodes] == [(3, 30.0), (1, 10.0)]


def test_random_actions_follow_the_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plays = [play(task="matrix/climbing", player="random", episodes=20, seed=seed)["episodes"] for seed in (1, 1, 2)]
    returns = [[episode["return"] for episode in episodes] for episodes in plays]
    assert plays[0] == plays[1] and returns[0] != returns[2]  # here they depend on the actions alone
    assert len(set(returns[0])) > 2


def test_sampled_actions_vary_and_greedy_ones_do_not(run):
    for who in ({"run": run}, {"bundle": run}):
        greedy, sampled, other = (
            [episode["return"] for episode in play(**who, episodes=20, seed=seed, deterministic=deterministic)["episodes"]]
            for seed, deterministic in ((1, True), (1, False), (2, False))
        )
        assert len(set(greedy)) < len(set(sampled)) and sampled != other


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_films_of_a_robot(cheetah, pictures, suffix):
    path = Path(f"cheetah{suffix}")
    result = play(steps=9, video=path, options=VideoOptions(size=(99, 61), every=2, caption=False))
    frames = decode(path)
    width, height = (100, 62) if suffix == ".mp4" else (99, 61)  # H.264 needs even sides
    assert frames.shape == (5, height, width, 3)  # before steps 1, 3, 5, 7, 9
    assert all(frame.std() > 5 for frame in frames)
    assert all(np.abs(one.astype(int) - other).mean() > 0.5 for one, other in itertools.pairwise(frames))
    facts = result["video"]
    assert (facts["width"], facts["height"]) == (width, height)
    assert facts["frames"] == 5 and facts["speed"] == 1.0 and facts["fps"] == 10.0
    assert facts["bytes"] == path.stat().st_size
    assert [entry.name for entry in Path().iterdir() if entry.name.startswith(".")] == []


def test_gif_keeps_its_time(cheetah, pictures):
    play(steps=4, video="fast.gif")
    assert imageio.immeta("fast.gif", plugin="pillow", index=1)["duration"] == 100  # of 12.5 allowed: every other of 20 per second
    assert decode(Path("fast.gif")).shape == (2, 240, 240, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_small_pictures_are_enlarged_and_few_colours_kept(run, suffix):
    path = Path(f"game{suffix}")
    play(episodes=2, video=path, options=VideoOptions(caption=False))
    frames = decode(path)
    assert frames.shape == (6, 256, 384, 3)  # 2 x 3 cells of 32 pixels, four times as large
    table = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]) / 3 * 255
    for frame in frames:
        assert np.abs(frame[64::128, 64::128, 0] - table).max() < 6


def test_caption_changes_a_corner_only():
    picture = np.full((240, 240, 3), 90, np.uint8)
    changed = (captioned(picture, "step 1") != picture).any(-1)
    assert changed[:30, :60].any() and not changed[30:].any()


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_frames_come_back_as_they_were(tmp_path, suffix):
    """Odd sizes, pictures of one, two and many colours."""
    noise = np.random.default_rng(0).integers(0, 255, (4, 6, 3)).repeat(12, 0).repeat(10, 1)[:47, :59].astype(np.uint8)
    black, halves = np.zeros_like(noise), np.zeros_like(noise)
    halves[:20] = 255
    given = [halves, black, noise, halves, halves]
    with open_film(tmp_path / f"film{suffix}", 10.0) as film:
        for picture in given:
            film.add(picture)
    frames = decode(tmp_path / f"film{suffix}")
    assert len(frames) == len(given)
    for frame, picture in zip(frames, given, strict=True):
        error = np.abs(frame[:47, :59].astype(int) - picture)
        assert error.max() == 0 if suffix == ".gif" else error.mean() < 12


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_broken_off_film_leaves_the_old_file(tmp_path, suffix, kind):
    path = tmp_path / f"film{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(kind), open_film(path, 10.0) as film:
        film.add(np.zeros((32, 32, 3), np.uint8))
        raise kind
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"old"


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from a2po.errors import WorkFailed
from a2po.evaluation.camera import Tally
from a2po.evaluation.encoders import open_film
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    with open_film(Path(sys.argv[1]), 10.0) as film:
        for index in range(200):
            film.add(np.random.default_rng(index).integers(0, 255, (64, 64, 3), dtype=np.uint8))
except WorkFailed as error:
    print(error)
"""


@pytest.mark.resilience
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_disk_that_takes_no_more(tmp_path, suffix):
    """No file may grow beyond 40 kB here, which both writers meet as they would a full disk."""
    path = tmp_path / f"film{suffix}"
    done = subprocess.run([sys.executable, "-c", FILL_THE_DISK, path], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.startswith(f"'{path}' could not be written: ") and done.stdout.count("\n") == 1
    assert ("File too large" if suffix == ".gif" else "ffmpeg ended with status") in done.stdout
    assert done.stderr == "" and list(tmp_path.iterdir()) == []


@pytest.mark.resilience
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_killed_while_filming(tmp_path, pictures, number):
    path = tmp_path / "film.mp4"
    arguments = ["a2po", "play", "--random", "--steps", "1000", "--video", str(path)]
    # A parent in the background may have SIGINT ignored, which children inherit.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import sys; {listen}; sys.argv = {arguments!r}; from a2po.cli.app import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob(".film.*")):
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert not path.exists() and "Traceback" not in err
    if number == signal.SIGINT:
        assert list(tmp_path.glob(".film*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--video", "film.mp5"), "did you mean '.mp4'"),
        (("--video", "film"), "there are: .mp4, .gif"),
        (("--video", "there.gif"), "replace it with --force"),
        (("--video", "nowhere/film.gif"), "there is no folder 'nowhere'"),
        (("--bundle", "runs/frist"), "did you mean 'runs/first'"),
        (("--run", "runs/frist"), "did you mean 'runs/first'"),
        (("--run", "runs/first", "--checkpoint", "17"), "no checkpoint '17'"),
        (("--checkpoint", "17"), "of which run"),
        (("--run", "runs/first", "--random"), "exclude each other"),
        (("runs/first",), "name a bundle with --bundle"),
        (("matrix/climbign",), "did you mean 'matrix/climbing'"),
        (("matrix/climbing",), "number of actions is 2, the task has 3"),
        (("--size", "big"), "for example 640x480"),
        (("--size", "99999"), "16 to 4096"),
        (("--video", "film.gif", "--size", "100x100"), "the pictures of 'matrix/uneven' have only one"),
    ],
)
def test_what_the_user_can_mend(run, command, arguments, message):
    Path("there.gif").touch()
    code, out, err = command("play", *arguments)
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err and len(err.splitlines()) == 1
    assert not any(path.suffix in (".mp4", ".gif") for path in Path().iterdir() if path.name != "there.gif")


def test_without_a_bundle(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    code, _, err = command("play")
    assert code == 2 and "no bundle in 'runs' yet" in err


def test_missing_packages_name_the_extra(tmp_path, monkeypatch):
    for package, suffix in (("imageio_ffmpeg", ".mp4"), ("PIL", ".gif")):
        with monkeypatch.context() as patch:
            patch.setattr("a2po.errors.find_spec", lambda name, hidden=package: None if name == hidden else object())
            with pytest.raises(DependencyError, match=rf"{package}.*a2po\[report\]"):
                check_video(tmp_path / f"film{suffix}", force=False)


def test_json_and_table(run, command):
    code, out, err = command("play", "--episodes", "2", "--video", "film.gif", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["video"]["frames"] == 6
    code, out, err = command("play", "--episodes", "2", "--video", "film.gif", "--force")
    assert code == 0 and "best_rounds" in out and "6 pictures of 384 x 256, 4 per second" in out
    code, out, err = command("play", "--steps", "4", "--episodes", "9")
    assert code == 0 and "stopped by --steps" in out


OWN = """
from a2po.envs.registry import make as known
def make(task, num_envs, **rest):
    return known("matrix/uneven", num_envs, **rest)
"""


def test_own_environment_is_not_run_on_a_manifests_word(tmp_path, monkeypatch, policy_at):
    (tmp_path / "own_played.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    policy = policy_at(tmp_path / "run")
    policy = dataclasses.replace(policy, config=policy.config.model_copy(update={"task": "own_played:make"}))
    bundle = build_bundle(policy, lambda copies: make_env(policy.config, copies, seed=1))
    sys.modules.pop("own_played")
    with pytest.raises(UserError, match="if you trust it, add own_played:make"):
        play(bundle)
    assert "own_played" not in sys.modules
    assert play(bundle, task="own_played:make")["episodes"][0]["length"] == 3


class Blind(MatrixGame):
    def render(self, copy):
        raise NotImplementedError


class Grey(MatrixGame):
    def render(self, copy):
        return np.zeros((4, 4))


def make_blind(task, num_envs, *, seed, device, num_threads):
    return Blind(task, ((1.0, 0.0), (0.0, 2.0)), num_envs, 1, seed=seed, device=device)


def make_grey(task, num_envs, *, seed, device, num_threads):
    return Grey(task, ((1.0, 0.0), (0.0, 2.0)), num_envs, 1, seed=seed, device=device)


@pytest.mark.parametrize(("factory", "message"), [("make_blind", "has no pictures"), ("make_grey", r"got float64 \[4, 4\]")])
def test_environment_without_good_pictures(tmp_path, monkeypatch, factory, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "own_pictures", sys.modules[__name__])
    assert play(task=f"own_pictures:{factory}", player="random")["episodes"]
    with pytest.raises(TaskError, match=message):
        play(task=f"own_pictures:{factory}", player="random", video="film.gif")
    assert list(tmp_path.iterdir()) == []


def test_failing_writer_is_one_error(tmp_path):
    path = tmp_path / "film.gif"
    with pytest.raises(WorkFailed, match="could not be written"), open_film(path, 10.0) as film:
        film.add(np.zeros((8, 8, 3), np.uint8))
        os.close(film._file.fileno())  # the disk is gone
        film.add(np.zeros((8, 8, 3), np.uint8))
    assert not path.exists()


def test_sizes_and_tempo():
    assert (parse_size("640x480"), parse_size("240")) == ((640, 480), (240, 240))
    assert tempo(".mp4", 0.05) == (1, 20.0)
    assert tempo(".gif", 0.05) == (2, 10.0)
    assert tempo(".mp4", 0.008) == (5, 25.0)  # Hopper and Walker2d
    assert tempo(".mp4", 1 / 30) == (1, 30.0)
    assert tempo(".mp4", 0.05, every=4) == (4, 5.0)
    assert tempo(".mp4", 0.05, fps=60.0) == (1, 60.0)
    assert tempo(".gif", None) == (1, 4.0)
