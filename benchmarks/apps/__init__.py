"""The programs that are traced, and what runs them."""
