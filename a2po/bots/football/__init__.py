"""Exported teams in Google Research Football: a player for gfootball's own loop, an agent for Kaggle."""
