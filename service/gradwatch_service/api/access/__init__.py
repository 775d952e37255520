"""Who may do what: decided for every request before its body is read."""
