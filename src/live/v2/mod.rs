//! Owns the Open Inference Protocol V2: requests, answers and errors as bytes. No IO.
