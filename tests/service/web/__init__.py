"""The dashboards without a browser."""
