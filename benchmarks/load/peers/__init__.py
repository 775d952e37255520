"""What we are compared with, a file each; dropping one in is all it takes."""
