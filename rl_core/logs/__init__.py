"""Logs of other systems in several formats, read as decisions, rewards and interactions of a task."""
