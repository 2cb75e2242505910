"""The training loop: rollout, buffer, updates, checkpoints, metrics, view."""
