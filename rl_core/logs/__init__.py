"""Logs that other systems wrote, as decisions, rewards and interactions of a task: one format a file, one way in."""
