"""The one loop and all it needs: EMA, optimizers, checkpoints, journal, the run folder."""
