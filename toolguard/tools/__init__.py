"""Declaring tools: the decorators, what they know of a function, and what a running body can reach."""
