"""Where tokens come from and where they went: steps to documents and back, and documents out of what is kept."""
