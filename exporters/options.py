"""What an export can be asked for, and what excludes what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2po.errors import UserError, did_you_mean

DEFAULT_OPSET = 18
"""The first opset that the exporter writes natively; older engines stop before 20."""
FORMATS = ("all", "onnx", "safetensors")
PROFILES = {"standard": range(17, 22), "plain": range(13, 22)}
"""Profile -> the opsets that are offered. LayerNormalization begins with 17; before 13 the axes of Squeeze were no input."""
QUANTIZATIONS = ("int8",)


@dataclass(frozen=True)
class ExportOptions:
    """How a team is written. ``check`` says whether the parts go together."""

    format: str = "all"
    opset: int = DEFAULT_OPSET
    profile: str = "standard"
    noise: bool = False
    quantize: str | None = None
    sign: Path | None = None

    @property
    def writes_onnx(self) -> bool:
        """There will be actors that play."""
        return self.format != "safetensors"

    @property
    def writes_weights(self) -> bool:
        """There will be weights to train on with."""
        return self.format != "onnx"

    def check(self) -> None:
        """Look at everything that can be known before the long work.

        Raises:
            UserError: an option is unknown or excludes another one, or the key cannot sign.
            DependencyError: signing needs a package that is missing.
        """
        _known("--format", self.format, FORMATS)
        _known("--profile", self.profile, PROFILES)
        if self.quantize is not None:
            _known("--quantize", self.quantize, QUANTIZATIONS)
        if not self.writes_onnx:
            self._check_weights_only()
        offered = PROFILES[self.profile]
        if self.opset not in offered:
            plain = PROFILES["plain"]
            older = f"; --profile plain writes {plain[0]} to {plain[-1]}" if self.profile != "plain" and self.opset in plain else ""
            raise UserError(
                f"--opset {self.opset}: with --profile {self.profile} a2po writes ONNX opsets {offered[0]} to {offered[-1]}{older}; "
                f"{DEFAULT_OPSET} suits most engines"
            )
        if self.sign is not None:
            from a2po.runtime.signature import private_key

            private_key(self.sign)

    def _check_weights_only(self) -> None:
        default = ExportOptions()
        words = {
            "--quantize int8": self.quantize is not None,
            "--noise": self.noise,
            f"--profile {self.profile}": self.profile != default.profile,
            f"--opset {self.opset}": self.opset != default.opset,
        }
        for option, given in words.items():
            if given:
                raise UserError(f"{option} is about ONNX files, and --format safetensors writes none: leave one of the two out")

    def entry(self) -> dict[str, Any] | None:
        """What the manifest says about the ONNX files, if there are any."""
        if not self.writes_onnx:
            return None
        return {"opset": self.opset, "batch": "dynamic", "profile": self.profile, "noise": self.noise, "quantize": self.quantize}


def _known(option: str, value: str, known: Any) -> None:
    if value not in known:
        raise UserError(f"{option} {value}: unknown{did_you_mean(str(value), known)} (there are: {', '.join(known)})")
