"""Benchmarks: ratios of two measurements in one run, no absolute claims about a machine."""
