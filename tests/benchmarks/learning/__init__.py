"""How well agents learn while they serve: tasks, the served loop, and other libraries in it."""
