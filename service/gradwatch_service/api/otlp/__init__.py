"""``POST /v1/metrics``: the data points that any OpenTelemetry SDK sends become steps of runs."""
