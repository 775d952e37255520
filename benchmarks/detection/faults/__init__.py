"""One file per fault; ``fault.catalogue`` finds the ``CASES`` of each."""
