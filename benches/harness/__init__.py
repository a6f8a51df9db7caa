"""What measures whole processes, and what becomes of the figures."""
