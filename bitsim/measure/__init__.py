"""Measurements: a chip's parameters fitted to measured times, and the machine at hand as a CPU."""
