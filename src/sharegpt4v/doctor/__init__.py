"""What a machine lacks for a run: `s4v doctor` looks before anything is started, and says what to do about it."""
