"""The watch, the tracer and the recurrent parts inside the tools that people train with."""
