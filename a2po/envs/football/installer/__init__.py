"""``a2po install football``: fetch the engine's source, build it, prove it, keep it for this user. Of packages it needs numpy alone."""
