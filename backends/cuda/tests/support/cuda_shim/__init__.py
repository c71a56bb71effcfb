"""Kernels on the CPU, and what tests of several areas launch them with; README.md says how."""
