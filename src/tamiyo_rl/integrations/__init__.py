"""The watch and the tracer inside the tools that people train with, one library a file."""
