"""From a trained policy to a bundle: ONNX actors, weights, manifest, model card and the proof that they are the same policy."""
