"""The only place that speaks SQL; functions take a connection, values go in and come out."""
