"""From a task to a prompt, and from an answer to a Python module."""
