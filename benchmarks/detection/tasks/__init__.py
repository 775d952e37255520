"""One file per kind of training; ``task.catalogue`` finds the ``TASKS`` of each."""
