"""The dashboards: pages rendered here, kept live by ES modules that read the public API."""
