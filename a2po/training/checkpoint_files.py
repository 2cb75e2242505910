"""What a checkpoint's folder is called and what lies in it. Standard library only: ``a2po runs`` starts at once."""

FORMAT = 3
STEP = "step_" + "[0-9]" * 12
"""Pattern of its name. A copy that somebody keeps beside it under another name is none."""
TENSORS, TREE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"


def foreign(found: object) -> str:
    """What is wrong with a manifest of another format."""
    return f"{MANIFEST} has format {found}, this a2po reads {FORMAT}: another version wrote it"
