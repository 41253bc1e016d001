"""The krylov engine: conjugate gradients and random probes for large crossed factors."""
