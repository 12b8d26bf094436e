"""The instrumentation engine: declarations in, wrapped libraries out."""
