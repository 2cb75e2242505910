"""The family ``football``: Google Research Football, the real engine."""
