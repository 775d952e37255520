"""The settings in a real Chromium, section by section."""
