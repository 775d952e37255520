"""Runs of the past: what other tools have logged, read so that it can be judged and back-tested."""
