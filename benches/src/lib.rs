//! Measurements beside a peer in the same run, one file a question.
