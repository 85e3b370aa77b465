"""A run from the data folder to the model: its phases, what its folder records, and what measures it."""
