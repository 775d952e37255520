"""The pages as the server writes them."""
