"""What a team runs: takes in gradient statistics, detects, diagnoses, advises, alerts."""
