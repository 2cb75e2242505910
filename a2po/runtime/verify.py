"""``a2po.verify``: everything that can be known about a bundle without the run that it comes from, and without torch."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from a2po.errors import BundleError, DependencyError, require
from a2po.runtime import signature
from a2po.runtime.actors import Actors
from a2po.runtime.bundle import Bundle, NoBundle, Source, check_files, parse_source, read_source
from a2po.runtime.drawn import ROWS, STEPS, drawn_differences, draws, references, run
from a2po.runtime.onnx_file import OnnxFacts, check_file
from a2po.runtime.reference import BOX

MEND = "Export the run again, or ask whom you have it from"
QUANTISED_FACTOR = 1.5
"""How far an int8 actor may be from its weights, in units of what was measured at export."""
UNUSED = (*BOX, "log_std")
"""Tensors of which a graph may hold another form: a Box that is -1 to 1 needs no scaling."""


def verify(path: Path | str, public_key: Path | str | None = None) -> dict[str, Any]:
    """Check a bundle: its files, its manifest, its signature, its graphs, and that these compute what its weights say.

    Args:
        path: a folder, a .zip, or a run folder that holds one.
        public_key: a PEM file with the ed25519 key that must have signed it; None if it need not be signed.

    Returns: ``{bundle, passed, checks: [{name, passed, detail}]}``. The ``passed`` of a check is None if it could not be made, with the
        reason in ``detail``; the bundle has passed if no check failed.

    Raises:
        BundleError: there is no bundle.
        UserError: the key cannot be used.
        DependencyError: a package is missing.
    """
    require("verifying a bundle", onnxruntime="cpu")
    if public_key is not None:
        signature.public_key(Path(public_key))
    verification = Verification(Path(path), public_key)
    for name, method in verification.steps.items():
        verification.make(name, method)
    checks = verification.checks
    return {"bundle": str(path), "passed": all(check["passed"] is not False for check in checks), "checks": checks}


class Unknown(Exception):
    """A check that cannot be made, and why."""


class Verification:
    """The checks of one bundle in their order. Each gives what it found; one that fails raises a BundleError."""

    def __init__(self, path: Path, public_key: Path | str | None) -> None:
        self.path, self.key = path, public_key
        self.checks: list[dict[str, Any]] = []
        self.failed = ""
        self.steps: dict[str, Callable[[], str]] = {
            "files": self.check_files,
            "manifest": self.check_manifest,
            "signature": self.check_signature,
            "operators": self.check_operators,
            "load": self.check_load,
            "weights": self.check_weights,
            "parity": self.check_parity,
            "finite": self.check_finite,
        }

    def make(self, name: str, method: Callable[[], str]) -> None:
        """Make a check; none is made behind one that failed, but the signature's."""
        passed: bool | None
        try:
            if self.failed:
                raise Unknown(f"not checked, because '{self.failed}' failed")
            passed, detail = True, method()
        except Unknown as why:
            passed, detail = None, str(why)
        except NoBundle:
            raise
        except BundleError as error:
            passed, detail = False, str(error)
            self.failed = name
        self.checks.append({"name": name, "passed": passed, "detail": detail})

    @cached_property
    def source(self) -> Source:
        """The bytes."""
        return read_source(self.path)

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle, once its files are checked."""
        return parse_source(self.source)

    @cached_property
    def graphs(self) -> list[str]:
        """The ONNX files. Raises: Unknown: there are none."""
        files = [name for name in self.bundle.files if name.endswith(".onnx")]
        if not files:
            raise Unknown("not checked: the bundle holds weights only")
        return files

    @cached_property
    def facts(self) -> dict[str, OnnxFacts]:
        """ONNX file -> what the look at it found."""
        return {file: check_file(self.bundle.files[file], file) for file in self.graphs}

    @cached_property
    def sessions(self) -> dict[str, Any]:
        """ONNX file -> session."""
        return {file: Actors(self.bundle, file, "cpu").session for file in dict.fromkeys(agent.file for agent in self.bundle.agents)}

    def check_files(self) -> str:
        """Sizes and hashes, before anything else is looked at."""
        check_files(self.source)
        size = sum(map(len, self.source.files.values()))
        return f"{len(self.source.files)} files, {size / 1000:,.0f} kB, every SHA-256 as in the manifest"

    def check_manifest(self) -> str:
        """Every part has its form, every file has an owner."""
        bundle = self.bundle
        owned = {name for agent in bundle.agents for name in (agent.file, agent.weights)}
        stray = [name for name in bundle.files if name.endswith((".onnx", ".safetensors")) and name not in owned]
        battle = bundle.manifest["task"].get("options", {}).get("battle_file")
        if stray:
            raise BundleError(f"{stray[0]} belongs to no agent. {MEND}")
        if "battle.toml" in bundle.files and bundle.files["battle.toml"].decode(errors="replace") != battle:
            raise BundleError(f"battle.toml is not the battle in the task's options. {MEND}")
        return f"format {bundle.manifest['format']}, {len(bundle.agents)} agents for {bundle.task}"

    def check_signature(self) -> str:
        """Of the key that was asked for, or of any."""
        if self.key is None and self.bundle.manifest.get("signature") is None:
            raise Unknown("it is not signed")
        try:
            key = signature.check(self.bundle.manifest, self.key)
        except DependencyError as error:  # a key that was asked for would have told before
            raise Unknown(f"not checked: {error}") from None
        return f"by the key {key}" + (", as asked for" if self.key else "; whose key that is, --require-signature tells")

    def check_operators(self) -> str:
        """What the ONNX files hold, by their bytes alone."""
        operators = sum((facts.operators for facts in self.facts.values()), Counter[str]())
        opsets = ", ".join(sorted({str(facts.opset) for facts in self.facts.values()}))
        files = f"{len(self.facts)} file{'s' if len(self.facts) > 1 else ''}"
        return f"{files}, {operators.total()} nodes of {len(operators)} standard operators, opset {opsets}, nothing outside the file"

    def check_load(self) -> str:
        """Onnxruntime takes them, and they say of themselves what the manifest says."""
        self.graphs  # noqa: B018 - raises Unknown where there are none
        import onnxruntime

        sessions = self.sessions
        for agent in self.bundle.agents:
            told = self.facts[agent.file].metadata.get("a2po.weights_sha256")
            if agent.weights and told != hashlib.sha256(self.bundle.files[agent.weights]).hexdigest():
                raise BundleError(f"{agent.file} was not made of {agent.weights}: the hash of its weights is another. {MEND}")
        return (
            f"{len(sessions)} session{'s' if len(sessions) > 1 else ''} of onnxruntime {onnxruntime.__version__}, ports as in the manifest"
        )

    def check_weights(self) -> str:
        """The graphs hold the weights, bit for bit."""
        if not any(agent.file for agent in self.bundle.agents):
            return f"those of {len(self.references)} agents fit their network; there is no graph to compare them with"
        self._require_weights()
        if (self.bundle.manifest.get("onnx") or {}).get("quantize"):
            references(self.bundle)
            raise Unknown("not compared bit by bit: the actors are quantised")
        count = 0
        for agent in {agent.file: agent for agent in self.bundle.agents}.values():
            measure, constants = self.references[agent.name], self.facts[agent.file].constants
            for name, tensor in measure.tensors.items():
                shape, found = constants.get(name, constants.get(f"actor.weights.{name}", (None, b"")))
                if shape is None and name in UNUSED:
                    continue
                if shape != tensor.shape or bytes(found) != tensor.astype("<f4").tobytes():
                    raise BundleError(f"{agent.file} holds other numbers than {agent.weights}: {name}. {MEND}")
                count += tensor.size
        return f"the graphs hold their {count:,} numbers bit for bit"

    @cached_property
    def references(self) -> Mapping[str, Any]:
        """Agent -> what its weights say."""
        return references(self.bundle)

    def check_parity(self) -> str:
        """The graphs compute what the weights say."""
        self._require_weights()
        extra = self._quantisation()
        # What int8 does was measured on the first draws. Others nobody can know beforehand, and make a graph that is right on them alone.
        seed = secrets.randbits(32) if extra is None else 0
        found = drawn_differences(self.bundle, self.sessions, seed)
        for differences in found.values():
            allowed = differences.tolerance + (extra or 0.0)
            for report in differences.reports:
                wrong = ", ".join(f"{port} {error:.1e}" for port, error in report.max_error.items() if not error <= allowed)
                what = f"outputs differ by more than {allowed:.1e}: {wrong}"
                if not wrong and extra is None and report.mismatches:
                    wrong, what = "action", f"{report.mismatches} of {report.actions} actions differ"
                if wrong:
                    raise BundleError(
                        f"agent '{report.agent}': the graph does not compute what its weights say; {what} (seed {seed}). {MEND}"
                    )
        worst = max(differences.largest for differences in found.values())
        return f"at most {worst:.1e} from a numpy reading of the weights, {STEPS} drawn steps of {ROWS} rows, seed {seed}"

    def check_finite(self) -> str:
        """No output is infinite or no number, whatever is seen."""
        count = 0
        measures = self.references if self.bundle.agents[0].weights else {}
        for file in self.graphs:
            agents = [agent for agent in self.bundle.agents if agent.file == file]
            for feed in draws(agents, [measures.get(agent.name) for agent in agents], seed=1):
                feed["state_in"] = np.zeros((ROWS * len(agents), agents[0].num_layers, agents[0].hidden_size), np.float32)
                outputs = run(self.sessions[file], feed)
                wrong = [port for port, value in outputs.items() if not np.isfinite(value).all()]
                if wrong:
                    raise BundleError(f"{file}: the output {wrong[0]} is not finite for finite observations. {MEND}")
                count += len(outputs["action"])
        return f"all outputs of {count:,} rows"

    def _require_weights(self) -> None:
        self.graphs  # noqa: B018
        if not self.bundle.agents[0].weights:
            raise Unknown("not checked: the bundle holds no weights ('a2po export --format all' writes them)")

    def _quantisation(self) -> float | None:
        """What int8 may add to the tolerance, None for actors in single precision. Raises: BundleError: the manifest does not say."""
        if not (self.bundle.manifest.get("onnx") or {}).get("quantize"):
            return None
        measured = (self.bundle.manifest.get("quantization") or {}).get("drawn_error")
        if not isinstance(measured, int | float) or not 0 <= measured < float("inf"):
            raise BundleError(f"the manifest does not say how far its quantised actors are from their weights. {MEND}")
        return QUANTISED_FACTOR * measured
