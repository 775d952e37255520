"""Pages and their parts, rendered by the whole application without a browser."""
