"""A comparison of methods: what was asked for, its cells on disk, and what is written of finished ones."""
