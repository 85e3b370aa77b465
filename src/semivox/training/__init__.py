"""The one loop and all it needs: EMA, schedules, checkpoints, journal, the run folder."""
