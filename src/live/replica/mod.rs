//! Owns one replica: a process that serves an ONNX model over HTTP.
