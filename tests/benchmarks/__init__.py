"""Benchmarks: ratios of two things measured in one run, never absolute claims about a machine."""
