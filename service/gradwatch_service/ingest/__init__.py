"""The writer: takes decoded pushes, judges them in order, commits in groups, then answers."""
