"""The object store on disk: data in a block file of its own, metadata in a key/value engine.

`engine` and `blockfile` are its ports to the machine, each with a twin in memory that a test can
crash (`memory_block`); `rocks` and `blockfile` have the real ones. `mkfs` makes a store, `opening`
opens it, `folder` knows its small files, `mark` and `freelist` what ties the block file to the
engine. The store itself, with the port of `store.objectstore`, is `store`.
"""
