"""Commands that concern no finished run: what this machine can do, and what a run of given tasks would meet."""
