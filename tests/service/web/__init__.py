"""Pages as a browser gets them, without one."""
