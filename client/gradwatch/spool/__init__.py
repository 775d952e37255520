"""What has not been acknowledged, on disk: one append-only file for each writer."""
