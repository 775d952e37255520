"""Workloads W1 to W3 and the curves of growth: what the service and its peers manage under load."""
