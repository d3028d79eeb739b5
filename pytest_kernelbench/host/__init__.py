"""The machine of this process: GPUs, vector maths, packaged files. Importing it imports no torch."""
