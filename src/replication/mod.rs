//! Partitions: leadership, high watermark, reads, waiting.
