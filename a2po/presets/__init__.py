"""Presets: TOML files with the source of every number."""
