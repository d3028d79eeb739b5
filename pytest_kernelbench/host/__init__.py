"""What this process finds where it runs: GPUs, vector maths, packaged files. No import of torch at import."""
