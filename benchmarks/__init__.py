"""Measurements of Gradwatch; each module or folder is run by a target of the Makefile."""
