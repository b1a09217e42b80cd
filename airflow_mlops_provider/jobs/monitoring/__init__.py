"""Jobs that watch what the live model sees and says, and how good it was."""
