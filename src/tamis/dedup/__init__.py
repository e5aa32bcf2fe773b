"""Finds documents that say the same: hashes and MinHash nominate, full text verifies, edges keep the evidence.

Nothing here drops a document. The order of the tasks, each a plain function over Parquet files:

1. `sketch.sketch_task`             shard -> sketch (content hash, band hashes), one row per document
2. `nominate.scatter_task`          sketch -> exchange file, partitions by key
3. `nominate.gather_task`           partition -> star edges of its buckets
4. `components.components_task`     all star edges -> gid, root; row group s holds shard s
5. `shingles.scatter_task`          documents of a component -> exchange file, partitions by root
6. `verify.verify_task`             partition -> verified edges
7. `edges.merge_task`               all verified edges -> one file ordered by (left, right)

No number of partitions, workers or batches shows in the content of 4 and 7.
"""
