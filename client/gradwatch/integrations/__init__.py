"""One file for each framework; imported only by a job that uses it."""
