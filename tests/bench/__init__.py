"""Benchmarks: every figure is compared with a floor or a peer that ran interleaved with it; `python -m tests.bench`."""
