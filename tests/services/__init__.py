"""Real servers for the tests, each on a free port, started for the run and ended with it."""
