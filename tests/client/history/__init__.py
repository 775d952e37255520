"""The readers of other tools' logs, against what those tools write and read themselves."""
