"""Judges as their owner sees them: one or many, their processes, and the requests that they answer."""
