"""The demo: the same real training job twice, without and with the help of Gradwatch."""

from gradwatch_service.demo.story import main

__all__ = ["main"]
