"""Checks of what learns and what plays: torch, Numba, onnx, onnxruntime. Each computes something."""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path

from a2po.doctor.finding import Finding, Found, load, versions, works
from a2po.errors import foreign

# A graph of opset 17 that adds its input to itself: x [2] -> y [2].
DOUBLE = base64.b64decode("CAg6NQoOCgF4CgF4EgF5IgNBZGQSAWdaDwoBeBIKCggIARIECgIIAmIPCgF5EgoKCAgBEgQKAggCQgQKABAR")


def torch() -> Finding:
    """Computes on the processor, and on the GPU if there is one."""
    module = load("torch", "train", "training and exporting")
    assert float((module.ones(2, 2) @ module.ones(2, 2)).sum()) == 8.0
    if module.cuda.is_available():
        try:
            assert float((module.ones(2, 2, device="cuda") @ module.ones(2, 2, device="cuda")).sum()) == 8.0
        except RuntimeError as error:
            mend = "pip install --force-reinstall torch  # or: a2po train --device cpu"
            return Finding("broken", f"{module.__version__} sees {module.cuda.get_device_name()}, but: {foreign(error)}", mend)
        return works(f"{module.__version__}, {module.cuda.get_device_name()}")
    if not _has_gpu():
        return works(f"{module.__version__}, no GPU")
    if module.version.cuda is None:
        mend = "pip install --force-reinstall torch"
        return Finding("doubtful", f"{module.__version__} is built without CUDA, and this machine has an NVIDIA GPU", mend)
    detail = f"{module.__version__} finds no GPU, though an NVIDIA driver is here: it may be older than CUDA {module.version.cuda} needs"
    return Finding("broken", detail, "nvidia-smi  # tells the driver's CUDA: upgrade the driver, or take a torch built for that CUDA")


def onnxruntime() -> Finding:
    """Runs a graph on every provider that was installed; never two builds of it at once."""
    found = versions("onnxruntime", "onnxruntime-gpu")
    kept, extra = ("onnxruntime-gpu", "gpu") if _has_gpu() else ("onnxruntime", "cpu")
    if len(found) == 2:
        mend = f'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "{kept}>=1.20"'
        return Finding("broken", "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files", mend)
    module = load("onnxruntime", extra, "playing and proving exported actors")
    used = []
    for provider in ("CPUExecutionProvider", *(["CUDAExecutionProvider"] if "onnxruntime-gpu" in found and _has_gpu() else [])):
        _run(module, provider)
        used.append(provider.removesuffix("ExecutionProvider"))
    return works(f"{module.__version__}, runs on {' and '.join(used)}")


def _run(module: object, provider: str) -> None:
    import numpy as np

    try:
        session = module.InferenceSession(DOUBLE, providers=[provider])  # type: ignore[attr-defined]
        used = session.get_providers()[0]
        (result,) = session.run(None, {"x": np.ones(2, np.float32)})
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class of their own
        raise Found("broken", f"{provider}: {foreign(error)}", "pip install --force-reinstall onnxruntime") from None
    if used != provider or not (result == 2.0).all():
        mend = "pip install --upgrade onnxruntime-gpu  # its CUDA and cuDNN must fit the driver"
        raise Found("broken", f"{provider} was asked for, {used} was taken: its libraries do not load", mend)


def onnx() -> Finding:
    """Writes graphs."""
    module = load("onnx", "train", "exporting")
    load("onnxscript", "train", "exporting")
    module.checker.check_model(module.load_from_string(DOUBLE))
    return works(f"{module.__version__}, onnxscript {versions('onnxscript').get('onnxscript', '?')}")


def numba() -> Finding:
    """Compiles a function, as the battles of smac/... do."""
    module = load("numba", "train", "the tasks smac/... and smacv2/...")
    assert module.njit(lambda number: 2 * number)(2) == 4
    return works(f"{module.__version__}, compiles")


def _has_gpu() -> bool:
    """An NVIDIA driver is here, and the user does not hide its devices."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
