"""The folder that `gossamer run` puts on the path of a program, so that its `sitecustomize` starts the tracer."""
