"""Off-policy evaluation of a candidate against the champion: the logged window, estimates, comparison and summary."""
