"""The HTTP face: parse, call one function of ingest or store, return."""
