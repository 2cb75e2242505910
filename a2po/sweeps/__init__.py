"""Sweeps: many runs of one plan, as child processes, continued after a kill."""
