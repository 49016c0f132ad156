//! Record batches: header, records, builders, control records, old formats, compression.
