"""What differs between a CPU and an NVIDIA GPU: facts, shared memory, and reading what another process computed."""
