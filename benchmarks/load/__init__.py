"""Workloads W1 to W4 and the curves of growth: what we and our peers manage, and what it costs."""
