"""A run on disk: its parameters and folders, what is stale, how notebooks and patients are executed."""
