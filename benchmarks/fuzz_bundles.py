"""Two thousand damaged bundles: what finds each of them, and that none crashes, hangs or plays another function in silence.

    python benchmarks/fuzz_bundles.py             # trains and exports three small teams first; --docs puts the table into the guide
    python benchmarks/fuzz_bundles.py BUNDLE... --cases 500

Damaged as it happens: a file or an archive is altered, the manifest is as it was; whoever loads the team must be refused. Damaged on
purpose (re-hashed): every hash that tells of it is altered, too, in the manifest and inside the graph; `a2po verify` must find it. What is
not refused must play what the whole bundle plays. The cases run in a process of their own, so that a crash is seen as one.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [*(entry for entry in sys.path if Path(entry).resolve() != HERE), str(HERE)]

import argparse
import hashlib
import json
import resource
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from a2po.errors import UserError
from a2po.runtime.archive import pack
from a2po.runtime.bundle import MANIFEST, Bundle, read_bundle
from a2po.runtime.differences import TOLERANCE

RESULTS = HERE / "results" / "fuzz_bundles.json"
COMMAND = "benchmarks/fuzz_bundles.py --docs"
CASES, SECONDS, GIGABYTES = 2000, 20, 8
BAD = ("crash", "hang", "traceback", "another function")
Rng = np.random.Generator


def flip(content: bytes, _: list[bytes], rng: Rng) -> bytes:
    damaged = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 9)):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def cut(content: bytes, _: list[bytes], rng: Rng) -> bytes:
    return content[: rng.integers(0, len(content))]


def lengthen(content: bytes, _: list[bytes], rng: Rng) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 200)))


def overwrite(content: bytes, _: list[bytes], rng: Rng) -> bytes:
    place, size = int(rng.integers(0, len(content))), int(rng.integers(1, 100))
    filling = bytes(size) if rng.random() < 0.3 else b"\xff" * size if rng.random() < 0.3 else rng.bytes(size)
    return (content[:place] + filling + content[place + size :])[: len(content)]


def insert(content: bytes, _: list[bytes], rng: Rng) -> bytes:
    place = int(rng.integers(0, len(content)))
    return content[:place] + rng.bytes(int(rng.integers(1, 20))) + content[place:]


def remove(content: bytes, _: list[bytes], rng: Rng) -> bytes:
    place = int(rng.integers(0, len(content)))
    return content[:place] + content[place + int(rng.integers(1, 100)) :]


def repeat(content: bytes, _: list[bytes], rng: Rng) -> bytes:
    start = int(rng.integers(0, len(content)))
    return content + content[start : start + int(rng.integers(1, 2000))]


def swap(_: bytes, others: list[bytes], rng: Rng) -> bytes:
    return others[int(rng.integers(len(others)))]


def splice(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    other, place = swap(content, others, rng), int(rng.integers(0, len(content)))
    return content[:place] + other[place:]


def rename(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    """Other operators in the same graph, whose names are stored as length and letters; other sizes and rows in a manifest."""
    pairs = [
        (b"\x04Tanh", b"\x04Relu"),
        (b"\x03Max", b"\x03Min"),
        (b"\x03Add", b"\x03Sub"),
        (b"\x03Sub", b"\x03Mul"),
        (b"\x03Mul", b"\x03Add"),
        (b'"row": 0', b'"row": 1'),
        (b'"index": 0', b'"index": 1'),
        (b'"size": ', b'"size": 1'),
        (b'"hidden_size": ', b'"hidden_size": -'),
    ]
    known = [pair for pair in pairs if pair[0] in content]
    if not known:
        return flip(content, others, rng)
    old, new = known[int(rng.integers(len(known)))]
    return content.replace(old, new, int(rng.integers(1, 3)))


DAMAGES: tuple[Callable[[bytes, list[bytes], Rng], bytes], ...] = (
    flip, flip, rename, rename, cut, lengthen, overwrite, insert, remove, repeat, swap, splice,
)  # fmt: skip


@dataclass
class Case:
    """What is damaged and how."""

    bundle: int
    on_purpose: bool
    file: str
    damage: str
    content: bytes

    @property
    def kind(self) -> str:
        return {".onnx": "graph", ".safetensors": "weights", ".json": "manifest", ".md": "card", ".zip": "archive"}[Path(self.file).suffix]


def draw_case(bundles: list[Bundle], number: int, seed: int) -> Case:
    rng = np.random.default_rng([seed, number])
    on_purpose, index = bool(number % 2), int(rng.integers(len(bundles)))
    files = {**bundles[index].files, MANIFEST: json.dumps(bundles[index].manifest, indent=2, ensure_ascii=False).encode()}
    kinds = [".onnx", ".onnx", ".onnx", ".safetensors", ".safetensors", ".json", ".md", "" if on_purpose else ".zip"]
    suffix = kinds[int(rng.integers(len(kinds)))] or ".onnx"
    name = "bundle.zip" if suffix == ".zip" else str(rng.choice(sorted(name for name in files if name.endswith(suffix))))
    content = pack(files) if suffix == ".zip" else files[name]
    every = [(f"{place}{other}", part) for place, bundle in enumerate(bundles) for other, part in bundle.files.items()]
    others = [part for other, part in every if other.endswith(suffix) and part != content] or [rng.bytes(len(content))]
    damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
    return Case(index, on_purpose, name, damage.__name__, damage(content, others, rng))


class Ground:
    """The whole bundles, and a copy of each of them that is damaged and mended."""

    def __init__(self, paths: list[Path], folder: Path) -> None:
        from a2po.runtime.actors import Actors

        self.bundles = [read_bundle(path) for path in paths]
        self.copies = [Path(shutil.copytree(bundle.path, folder / str(index))) for index, bundle in enumerate(self.bundles)]
        self.sessions = [{agent.file: Actors(bundle, agent.file, "cpu").session for agent in bundle.agents} for bundle in self.bundles]

    def outcome(self, case: Case) -> str:
        """What becomes of a damaged bundle."""
        whole, copy = self.bundles[case.bundle], self.copies[case.bundle]
        path = copy / case.file if case.kind != "archive" else copy.with_suffix(".zip")
        before = {name: (copy / name).read_bytes() for name in (MANIFEST, *whole.files)}
        try:
            path.write_bytes(case.content)
            if case.on_purpose and case.file != MANIFEST:
                forge(copy, case.file, before)
            return self._outcome(case, whole, path if case.kind == "archive" else copy)
        finally:
            for name, content in before.items():
                if (copy / name).read_bytes() != content:
                    (copy / name).write_bytes(content)

    def _outcome(self, case: Case, whole: Bundle, path: Path) -> str:
        plays = self._plays(path)
        try:
            check = verify(path)
        except UserError:
            check = "no bundle"
        # Who plays without verifying is safe from accidents; from forgery only `a2po verify` is.
        if ((plays and not case.on_purpose) or check is None) and not self._same(case, whole, path):
            return "another function"
        if check is not None:
            return f"refused: {check}"
        return "harmless" if plays else "refused: Team.load"

    def _plays(self, path: Path) -> bool:
        """Whether a team can be loaded and takes a step; nothing but a UserError may stop it."""
        from a2po.runtime import Team

        try:
            team = Team.load(path)
            seen = {agent.name: np.zeros(agent.obs_size, np.float32) for agent in team.bundle.agents}
            team.act(seen)
        except UserError:
            return False
        return True

    def _same(self, case: Case, whole: Bundle, path: Path) -> bool:
        """The same agents with the same names and bounds, and the same outputs."""
        from a2po.runtime.actors import Actors
        from a2po.runtime.drawn import draws, references, run

        bundle = read_bundle(path)
        if bundle.agents != whole.agents or bundle.task != whole.task:
            return False
        measures = references(whole)
        for file, session in self.sessions[case.bundle].items():
            damaged = Actors(bundle, file, "cpu").session
            agents = [agent for agent in whole.agents if agent.file == file]
            for feed in draws(agents, [measures[agent.name] for agent in agents], seed=7):
                state = np.random.default_rng(1).uniform(-1, 1, (len(feed["obs"]), agents[0].num_layers, agents[0].hidden_size))
                feed["state_in"] = state.astype(np.float32)
                expected, found = run(session, feed), run(damaged, feed)
                if any(not np.allclose(expected[port], found[port], rtol=TOLERANCE, atol=TOLERANCE) for port in expected):
                    return False
        return True


def forge(copy: Path, file: str, before: dict[str, bytes]) -> None:
    """Make all hashes those of the damaged file."""
    old, new = (hashlib.sha256(content).hexdigest().encode() for content in (before[file], (copy / file).read_bytes()))
    for graph in (name for name, content in before.items() if name.endswith(".onnx") and name != file and old in content):
        (copy / graph).write_bytes(before[graph].replace(old, new))
    manifest = json.loads(before[MANIFEST])
    for name in manifest["files"]:
        content = (copy / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (copy / MANIFEST).write_text(json.dumps(manifest))


def verify(path: Path) -> str | None:
    """The check that fails, or None."""
    from a2po.runtime.verify import verify as run_verify

    checks = run_verify(path)["checks"]
    return next((check["name"] for check in checks if check["passed"] is False), None)


def peak_memory() -> float:
    """Of this process, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def play_cases(paths: list[Path], first: int, last: int, seed: int) -> None:
    """In a process of its own: a line before each case and one behind it."""
    limit = GIGABYTES << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(paths, Path(folder))
        before = peak_memory()
        for number in range(first, last):
            case = draw_case(ground.bundles, number, seed)
            about = {"case": number, "on_purpose": case.on_purpose, "kind": case.kind, "damage": case.damage, "file": case.file}
            print(json.dumps(about), flush=True)
            signal.alarm(SECONDS)
            try:
                outcome = ground.outcome(case)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                outcome, about["error"] = "traceback", repr(error)
            signal.alarm(0)
            about["memory_mb"] = peak_memory() - before
            print(json.dumps({**about, "outcome": outcome}), flush=True)


def fuzz(paths: list[Path], cases: int = CASES, seed: int = 0) -> list[dict]:
    """The outcome of every case. A process that dies is the outcome of the case that it was at."""
    results: list[dict] = []
    while len(results) < cases:
        command = [sys.executable, __file__, *map(str, paths), "--play", str(len(results)), str(cases), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        results += [line for line in lines if "outcome" in line]
        if len(results) < cases:
            if not lines or "outcome" in lines[-1]:
                raise RuntimeError(done.stderr)
            results.append({**lines[-1], "outcome": "hang" if done.returncode == -signal.SIGALRM else "crash", "error": done.stderr[-500:]})
    return results


def table(results: list[dict]) -> str:
    """Outcomes by what was damaged, and whether on purpose."""
    from _docs import markdown

    kinds = [kind for kind in ("graph", "weights", "manifest", "card", "archive") if any(result["kind"] == kind for result in results)]
    columns = [(purpose, kind) for purpose in (False, True) for kind in kinds if any(key(result) == (purpose, kind) for result in results)]
    counts = Counter((result["outcome"], *key(result)) for result in results)
    order = ["files", "manifest", "signature", "operators", "load", "weights", "parity", "finite", "Team.load", "no bundle"]
    names = [f"refused: {name}" for name in order if any(result["outcome"] == f"refused: {name}" for result in results)]
    rows = [[name, *(str(counts[name, *column] or "-") for column in columns)] for name in [*names, "harmless", *BAD]]
    totals = [str(sum(key(result) == column for result in results)) for column in columns]
    return markdown(["outcome", *(f"{kind}{', re-hashed' if purpose else ''}" for purpose, kind in columns)], [*rows, ["cases", *totals]])


def key(result: dict) -> tuple[bool, str]:
    return result["on_purpose"], result["kind"]


def small_teams(folder: Path) -> list[Path]:
    """Three exported teams: discrete, continuous with noise, recurrent with shared parameters."""
    import a2po
    from a2po.training.view import SilentView

    paths = []
    for index, (task, settings) in enumerate(
        [
            ("matrix/uneven", []),
            ("mamujoco/HalfCheetah-2x3", ["network.layer_norm=true"]),
            ("matrix/climbing", ["network.recurrent_layers=1", "network.recurrent_size=8", "network.share_parameters=true"]),
        ]
    ):
        small = ["env.num_envs=8", "network.hidden_sizes=[16]", "update.rollout_length=16", "update.num_minibatches=1"]
        values = {"task": task, "algorithm": "a2po", "seed": index}
        config = a2po.resolve(values=values, settings=[*small, *settings, "run.total_steps=512", "run.track=[]"])
        result = a2po.train(config, view=SilentView(), runs=folder, name=f"run{index}")
        paths.append(a2po.export(result.run, say=lambda _: None))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--play", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--docs", action="store_true", help="put the table into docs/bundles.md")
    options = parser.parse_args()
    if options.play:
        play_cases(options.bundles, *options.play, options.seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = fuzz(options.bundles or small_teams(Path(folder)), options.cases, options.seed)
    print(table(results))
    bad = [result for result in results if result["outcome"] in BAD]
    memory = max(result.get("memory_mb", 0.0) for result in results)
    print(f"\n{len(results):,} cases, {len(bad)} of them bad; {memory:.0f} MB more than before at most")
    for result in bad:
        print(result)
    if options.docs:
        from _docs import write_block

        write_block("bundles.md", COMMAND, table(results))
    if not options.bundles:
        from a2po.provenance import provenance

        outcomes = Counter(f"{result['kind']}{', re-hashed' if result['on_purpose'] else ''}: {result['outcome']}" for result in results)
        stored = {
            "cases": len(results),
            "seed": options.seed,
            "memory_mb": memory,
            "outcomes": dict(sorted(outcomes.items())),
            "provenance": provenance(),
        }
        RESULTS.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
