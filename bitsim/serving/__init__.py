"""Models on GPUs and CPUs: memory, kernels fitted to published times, largest batch, tokens per second."""
