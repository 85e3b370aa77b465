"""One file a sub-command: it composes the rooms, and is the public Python function of the same name."""
