"""StarCraft micromanagement battles: units, maps and rules."""
