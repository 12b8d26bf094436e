"""The commands of `gossamer`, one module each."""
