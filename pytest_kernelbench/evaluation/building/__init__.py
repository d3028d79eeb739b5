"""Compilers: what a candidate builds is built here once, away from the device, and kept."""
