"""Off-policy evaluation on logged episodes: the window, the evidence about a candidate, estimates and summary."""
