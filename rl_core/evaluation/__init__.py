"""Evaluation of a candidate beside the champion: the log's stretches, estimates, the contest, and the page about it."""
