"""Exported teams inside games that others wrote: numpy and onnxruntime, no torch."""
