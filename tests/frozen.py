"""Imported last before processes are forked: what is there by then is no garbage."""

import gc

gc.collect()
gc.freeze()
