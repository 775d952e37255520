"""Pages written from the code: `make docs`."""
